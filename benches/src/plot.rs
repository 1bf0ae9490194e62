//! A picture of all ratios: a line for each work, a dot for each variant, on a logarithmic scale.
//! The limit stands at 1.

use std::fmt::Write;

use crate::report::Measured;
use crate::work::Shows;

const COLOURS: [(&str, &str); 8] = [
    ("asyncfile", "#d62728"),
    ("tokio", "#1f77b4"),
    ("smol", "#2ca02c"),
    ("mio", "#9467bd"),
    ("calloop", "#8c564b"),
    ("std", "#7f7f7f"),
    ("subprocess", "#e0a000"),
    ("limit + poll", "#000000"),
];

const ROW: f64 = 26.0;
const TOP: f64 = 70.0;
const LEFT: f64 = 200.0;
const WIDTH: f64 = 720.0;

/// From a 32nd of the limit to 128 times as much.
const LEAST: f64 = 1.0 / 32.0;
const MOST: f64 = 128.0;

pub fn svg(measured: &[Measured]) -> String {
    let shown: Vec<&Measured> = measured
        .iter()
        .filter(|m| m.work.shows != Shows::Memory)
        .collect();
    let height = TOP + ROW * shown.len() as f64;
    let (wide, high) = (LEFT + WIDTH + 30.0, height + 50.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{high}\" viewBox=\"0 0 {wide} {high}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let _ = writeln!(
        svg,
        "<text x=\"10\" y=\"20\" font-size=\"14\">CPU time as a multiple of the hand-written loop's</text>"
    );
    for (at, (name, colour)) in COLOURS.iter().enumerate() {
        let x = 20.0 + at as f64 * 105.0; // wide enough for the longest name
        let _ = writeln!(
            svg,
            "<circle cx=\"{x}\" cy=\"40\" r=\"5\" fill=\"{colour}\"/><text x=\"{}\" y=\"44\">{name}</text>",
            x + 9.0
        );
    }
    scale(&mut svg, height);
    for (at, measured) in shown.iter().enumerate() {
        let y = TOP + ROW * (at as f64 + 0.5);
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 10.0,
            y + 4.0,
            measured.work.name
        );
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#eee\"/>",
            LEFT + WIDTH
        );
        dots(&mut svg, measured, y);
    }
    svg += "</svg>\n";
    svg
}

fn scale(svg: &mut String, height: f64) {
    let mut tick = LEAST;
    while tick <= MOST {
        let x = place(tick);
        let colour = if tick == 1.0 { "#333" } else { "#ddd" };
        let label = if tick < 1.0 {
            format!("1/{}", 1.0 / tick)
        } else {
            tick.to_string()
        };
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{height}\" stroke=\"{colour}\"/>"
        );
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            height + 18.0
        );
        tick *= 2.0;
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{}\" fill=\"#555\">hollow: all that is there at once (readlines, chunks); a dot on the edge lies beyond it</text>",
        height + 38.0
    );
}

/// asyncfile's are drawn last, over the others'.
fn dots(svg: &mut String, measured: &Measured, y: f64) {
    let mut rows: Vec<_> = measured.rows.iter().skip(1).collect();
    rows.sort_by_key(|row| row.name.starts_with("asyncfile"));
    for row in rows {
        let Ok(figures) = &row.figures else { continue };
        let colour = COLOURS
            .iter()
            .find(|(name, _)| row.name.starts_with(name))
            .map_or("black", |(_, colour)| colour);
        let is_bulk = row.name.ends_with("chunks") || row.name.ends_with("readlines");
        let fill = if is_bulk { "white" } else { colour };
        let x = place(figures.ratio.clamp(LEAST, MOST));
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"5\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"2\" \
             fill-opacity=\"0.8\"><title>{}: {:.2}</title></circle>",
            row.name, figures.ratio
        );
    }
}

fn place(ratio: f64) -> f64 {
    LEFT + WIDTH * (ratio / LEAST).ln() / (MOST / LEAST).ln()
}
