//! The picture as SVG. Its colours follow the page around it, if that is rustdoc's, or the theme
//! of the reader's system; patterns and shapes say the same without colours. In Markdown the text
//! stands for itself: it begins with a comment, which ends a paragraph, and has no empty line.

use super::layout::{Arrow, Bar, Mark, Picture, Spot, Tone, Turn, HEAD, POLL, WIDTH};
use std::fmt::Write;

/// The height below the last turn, where the shapes are explained.
const FOOT: f64 = 84.0;

/// No rule reaches an element outside: the picture may stand in a page with others.
const STYLE: &str = "
.af-timeline{--af-paper:var(--main-background-color,#fff);--af-ink:var(--main-color,#1b2430);
--af-soft:#5d6b7a;--af-band:rgba(110,130,150,.10);--af-rule:rgba(110,130,150,.35);
--af-run:#1769c4;--af-cut:#c2410c;font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif}
@media (prefers-color-scheme:dark){.af-timeline{--af-paper:var(--main-background-color,#12171e);
--af-ink:var(--main-color,#e6ebf1);--af-soft:#9aa8b7;--af-run:#5aa7f5;--af-cut:#fb923c}}
[data-theme=light] .af-timeline{--af-soft:#5d6b7a;--af-run:#1769c4;--af-cut:#c2410c}
[data-theme=dark] .af-timeline,[data-theme=ayu] .af-timeline{--af-soft:#9aa8b7;--af-run:#5aa7f5;
--af-cut:#fb923c}
.af-timeline .paper{fill:var(--af-paper)}
.af-timeline .band{fill:var(--af-band)}
.af-timeline .rule{stroke:var(--af-rule);stroke-width:1}
.af-timeline text{fill:var(--af-ink);font-size:13px;paint-order:stroke;stroke:var(--af-paper);
stroke-width:4px;stroke-linejoin:round}
.af-timeline .name{font-size:15px;font-weight:650}
.af-timeline .again{display:none}
.af-timeline .title{font-weight:650}
.af-timeline .strong{font-weight:600}
.af-timeline .weak,.af-timeline .time,.af-timeline .cause{fill:var(--af-soft)}
.af-timeline .time{font-size:12px;font-variant-numeric:tabular-nums}
.af-timeline .waits{stroke:var(--af-soft);stroke-width:1.5}
.af-timeline .ready{stroke:var(--af-run);stroke-width:5;stroke-dasharray:2 3}
.af-timeline .runs{stroke:var(--af-run);stroke-width:13}
.af-timeline .sleeps{fill:url(#af-hatch);stroke:var(--af-soft);stroke-width:1}
.af-timeline .looks{fill:none;stroke:var(--af-soft);stroke-width:1}
.af-timeline .hatch{stroke:var(--af-soft);stroke-width:1.4}
.af-timeline .wakes{stroke:var(--af-ink);stroke-width:1.6;fill:none}
.af-timeline .deadline{stroke:var(--af-ink);stroke-width:1.6;stroke-dasharray:5 4;fill:none}
.af-timeline .cancels{stroke:var(--af-cut);stroke-width:1.8;stroke-dasharray:1.5 3.5;
stroke-linecap:round;fill:none}
.af-timeline .tip{fill:var(--af-ink)}
.af-timeline .cut{fill:var(--af-cut)}
.af-timeline .begins{fill:var(--af-paper);stroke:var(--af-ink);stroke-width:1.8}
.af-timeline .ends{fill:var(--af-ink)}
.af-timeline .dropped{stroke:var(--af-cut);stroke-width:2.6;stroke-linecap:round}
";

pub fn draw(picture: &Picture) -> String {
    let height = picture.height + FOOT;
    let mut svg = format!(
        "<!-- Made by: cargo run --example timeline -- DIR -->\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" class=\"af-timeline\" role=\"img\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         style=\"max-width:100%;height:auto\">\n\
         <title>What each task waits for, when it runs, and what has woken it, turn by turn</title>\n\
         <style>{}</style>\n\
         <defs><pattern id=\"af-hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><line class=\"hatch\" x1=\"0\" y1=\"0\" x2=\"0\" \
         y2=\"6\"/></pattern></defs>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height:.0}\" rx=\"8\"/>\n",
        STYLE.trim()
    );
    for (name, x) in &picture.lanes {
        text(&mut svg, "name", x - 6.0, HEAD - 26.0, name);
    }
    for (place, turn) in picture.turns.iter().enumerate() {
        group(&mut svg, &picture.lanes, turn, place % 2 == 0);
    }
    legend(&mut svg, picture.height + 34.0);
    svg + "</svg>\n"
}

/// One turn; every second one has a band behind it.
fn group(svg: &mut String, lanes: &[(&str, f64)], turn: &Turn, has_band: bool) {
    let (number, top, height) = (turn.number, turn.top, turn.bottom - turn.top);
    let _ = writeln!(svg, "<g class=\"turn\" id=\"af-turn-{number}\">");
    if has_band {
        let _ = writeln!(
            svg,
            "<rect class=\"band\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"{height:.1}\"/>"
        );
    }
    // The names of the lanes that reach into it, for a page in which it stands alone.
    for (name, x) in lanes {
        let is_here = |mark: &Mark| matches!(mark, Mark::Bar(_, of, ..) if of == x);
        if turn.marks.iter().any(is_here) && turn.number > 0 && *x != POLL {
            text(svg, "again", x + 8.0, top + 14.0, name);
        }
    }
    // Texts last: nothing is drawn over them.
    let is_text = |mark: &&Mark| matches!(mark, Mark::Text(..));
    let is_bar = |mark: &&Mark| matches!(mark, Mark::Bar(..));
    let all = turn.marks.iter();
    let bars = all.clone().filter(is_bar);
    let others = all.clone().filter(|mark| !is_bar(mark) && !is_text(mark));
    for mark in bars.chain(others).chain(all.filter(is_text)) {
        draw_mark(svg, mark);
    }
    svg.push_str("</g>\n");
}

fn draw_mark(svg: &mut String, mark: &Mark) {
    match mark {
        Mark::Bar(kind, x, top, bottom) => bar(svg, *kind, *x, *top, *bottom),
        Mark::Arrow(kind, from, to, y) => arrow(svg, *kind, *from, *to, *y),
        Mark::Spot(kind, x, y) => spot(svg, *kind, *x, *y),
        Mark::Text(tone, x, y, words) => {
            let class = match tone {
                Tone::Strong => "strong",
                Tone::Weak => "weak",
                Tone::Cause => "cause",
                Tone::Title => "title",
                Tone::Time => "time",
            };
            text(svg, class, *x, *y, words);
        }
    }
}

fn bar(svg: &mut String, kind: Bar, x: f64, top: f64, bottom: f64) {
    let class = match kind {
        Bar::Waits => "waits",
        Bar::Ready => "ready",
        Bar::Runs => "runs",
        Bar::Sleeps => "sleeps",
        Bar::Looks => "looks",
    };
    let _ = match kind {
        Bar::Sleeps | Bar::Looks => writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"14\" height=\"{:.1}\" \
             rx=\"3\"/>",
            x - 7.0,
            bottom - top
        ),
        _ => writeln!(
            svg,
            "<line class=\"{class}\" x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>"
        ),
    };
}

fn arrow(svg: &mut String, kind: Arrow, from: f64, to: f64, y: f64) {
    let (class, tip) = match kind {
        Arrow::Wakes => ("wakes", "tip"),
        Arrow::Deadline => ("deadline", "tip"),
        Arrow::Cancels => ("cancels", "cut"),
    };
    let side = if to > from { 1.0 } else { -1.0 };
    let (from, to) = (from + side * 7.0, to - side * 4.0);
    let back = to - side * 9.0;
    let _ = writeln!(
        svg,
        "<path class=\"{class} arrow\" d=\"M{from:.1} {y:.1}H{back:.1}\"/>\
         <path class=\"{tip}\" d=\"M{to:.1} {y:.1}L{back:.1} {:.1}V{:.1}Z\"/>",
        y - 4.5,
        y + 4.5
    );
}

fn spot(svg: &mut String, kind: Spot, x: f64, y: f64) {
    let _ = match kind {
        Spot::Begins => writeln!(
            svg,
            "<circle class=\"begins\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"
        ),
        Spot::Ends => writeln!(
            svg,
            "<circle class=\"ends\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5.5\"/>"
        ),
        Spot::Dropped => writeln!(
            svg,
            "<path class=\"dropped\" d=\"M{:.1} {:.1}l10 10m0 -10l-10 10\"/>",
            x - 5.0,
            y - 5.0
        ),
    };
}

fn legend(svg: &mut String, y: f64) {
    let left = 14.0;
    let _ = writeln!(
        svg,
        "<line class=\"rule\" x1=\"{left}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
        WIDTH - left,
        y - 20.0,
        y - 20.0
    );
    let mut x = left + 7.0;
    for (kind, words, width) in [
        (Bar::Sleeps, "poll(2) sleeps", 130.0),
        (Bar::Waits, "a task waits", 112.0),
        (Bar::Ready, "is ready", 92.0),
        (Bar::Runs, "runs", 78.0),
    ] {
        bar(svg, kind, x, y - 9.0, y + 9.0);
        text(svg, "weak", x + 13.0, y + 4.5, words);
        x += width;
    }
    spot(svg, Spot::Ends, x, y);
    text(svg, "weak", x + 13.0, y + 4.5, "has ended");
    x += 104.0;
    spot(svg, Spot::Dropped, x, y);
    text(svg, "weak", x + 13.0, y + 4.5, "was dropped");
    let (y, mut x) = (y + 28.0, left - 7.0);
    for (kind, words, width) in [
        (Arrow::Wakes, "wakes", 125.0),
        (Arrow::Deadline, "a deadline wakes", 193.0),
        (Arrow::Cancels, "cancels", 118.0),
    ] {
        arrow(svg, kind, x, x + 52.0, y);
        text(svg, "weak", x + 58.0, y + 4.5, words);
        x += width;
    }
    text(
        svg,
        "weak",
        x + 26.0,
        y + 4.5,
        "time runs down, not to scale",
    );
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, words: &str) {
    let words = escape(words);
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"
    );
}

pub fn escape(words: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    words.replace('>', "&gt;")
}
