//! Where everything stands in the picture. Time runs downwards. Each task is a lane; so is poll(2).
//! Each event has a row of its own, so that short things are visible; only poll's sleep is as tall
//! as it is long, up to a limit.

use super::tape::{Entry, Names, Tape, What};
use asyncfile::trace::By;
use asyncfile::{End, TaskId};
use std::time::Duration;

pub const WIDTH: f64 = 680.0;
/// The lanes' names.
pub const HEAD: f64 = 66.0;
/// Turn and time stand left of the lanes.
const GUTTER: f64 = 70.0;
pub const POLL: f64 = GUTTER + 14.0;
const FIRST_LANE: f64 = POLL + 100.0;
const ROW: f64 = 20.0;
/// A sleep that takes a tenth of a second is so tall; a longer one is not taller.
const TALLEST: f64 = 72.0;

pub struct Picture {
    pub lanes: Vec<(&'static str, f64)>,
    pub turns: Vec<Turn>,
    pub height: f64,
}

/// A turn: what is drawn of it, and what is told.
pub struct Turn {
    pub number: u64,
    pub top: f64,
    pub bottom: f64,
    pub marks: Vec<Mark>,
    pub story: Vec<String>,
    /// How each task stands at its end.
    pub standing: Vec<(&'static str, String)>,
}

pub enum Mark {
    /// A piece of a lane, or a sleep of poll(2).
    Bar(Bar, f64, f64, f64),
    /// From a lane to another one, at this height.
    Arrow(Arrow, f64, f64, f64),
    Spot(Spot, f64, f64),
    Text(Tone, f64, f64, String),
}

#[derive(Clone, Copy, PartialEq)]
pub enum Bar {
    Waits,
    Ready,
    Runs,
    Sleeps,
    Looks,
}

#[derive(Clone, Copy)]
pub enum Arrow {
    Wakes,
    Deadline,
    Cancels,
}

#[derive(Clone, Copy)]
pub enum Spot {
    Begins,
    Ends,
    Dropped,
}

#[derive(Clone, Copy)]
pub enum Tone {
    Strong,
    Weak,
    /// On an arrow that leaves poll(2).
    Cause,
    /// In the gutter.
    Title,
    Time,
}

/// A task's lane while the picture is drawn.
struct Lane {
    id: TaskId,
    name: &'static str,
    x: f64,
    /// None: the task has not begun, or has ended.
    bar: Option<Bar>,
    since: f64,
    waits_for: String,
}

struct Pen {
    y: f64,
    lanes: Vec<Lane>,
    turns: Vec<Turn>,
    /// The lane that runs.
    runs: Option<usize>,
    asked: Duration,
    may_sleep: bool,
}

pub fn lay_out(tape: &Tape, names: &Names) -> Picture {
    let gap = (WIDTH - FIRST_LANE) / names.len() as f64;
    let lane = |(place, (id, name)): (usize, &(TaskId, &'static str))| Lane {
        id: *id,
        name,
        x: FIRST_LANE + gap * place as f64 + 8.0,
        bar: None,
        since: 0.0,
        waits_for: String::new(),
    };
    let mut pen = Pen {
        y: HEAD,
        lanes: names.iter().enumerate().map(lane).collect(),
        turns: Vec::new(),
        runs: None,
        asked: Duration::ZERO,
        may_sleep: false,
    };
    for entry in &tape.0 {
        if pen
            .turns
            .last()
            .map_or(true, |turn| turn.number != entry.turn)
        {
            pen.end_turn();
            pen.begin_turn(entry);
        }
        pen.draw(entry);
    }
    pen.end_turn();
    let lanes = pen.lanes.iter().map(|lane| (lane.name, lane.x));
    Picture {
        lanes: std::iter::once(("poll(2)", POLL)).chain(lanes).collect(),
        height: pen.y,
        turns: pen.turns,
    }
}

impl Pen {
    fn begin_turn(&mut self, entry: &Entry) {
        self.turns.push(Turn {
            number: entry.turn,
            top: self.y,
            bottom: self.y,
            marks: Vec::new(),
            story: Vec::new(),
            standing: Vec::new(),
        });
        let title = match entry.turn {
            0 => "start".to_string(),
            turn => format!("turn {turn}"),
        };
        self.mark(Mark::Text(Tone::Title, 14.0, self.y + 22.0, title));
        let time = short(entry.at);
        self.mark(Mark::Text(Tone::Time, 14.0, self.y + 38.0, time));
        self.y += 12.0;
    }

    fn end_turn(&mut self) {
        self.end_run();
        self.y += 8.0;
        for place in 0..self.lanes.len() {
            let bar = self.lanes[place].bar;
            self.set(place, bar); // the rest of it belongs to the next turn
        }
        let y = self.y;
        let lanes = self.lanes.iter();
        let standing = lanes.map(|lane| {
            let text = match lane.bar {
                Some(_) => lane.waits_for.clone(),
                None if lane.waits_for.is_empty() => "not begun".into(),
                None => "ended".into(),
            };
            (lane.name, text)
        });
        let standing = standing.collect();
        if let Some(turn) = self.turns.last_mut() {
            turn.bottom = y.max(turn.top + 52.0);
            turn.standing = standing;
            self.y = turn.bottom;
        } else {
            self.y = HEAD;
        }
        // The lanes reach down to the end of a turn that is no taller than its title.
        for place in 0..self.lanes.len() {
            let bar = self.lanes[place].bar;
            self.set(place, bar);
        }
    }

    fn draw(&mut self, entry: &Entry) {
        let place = self.lanes.iter().position(|lane| lane.id == entry.task);
        let name = place.map_or("the program", |place| self.lanes[place].name);
        let story = match &entry.what {
            What::Asked(entries, may_sleep) => {
                (self.asked, self.may_sleep) = (entry.at, *may_sleep);
                format!("poll(2) is asked for {entries} descriptors")
            }
            What::Answered(fds) => self.draw_poll(entry.at, fds),
            What::Closed(fd) => {
                if let Some(place) = place {
                    self.label(place, Tone::Weak, format!("closes fd {fd}"));
                }
                format!("{name} closes fd {fd}")
            }
            what => match place {
                Some(place) => self.draw_task(place, what),
                None => return, // a task that has no name
            },
        };
        if let (Some(turn), false) = (self.turns.last_mut(), story.is_empty()) {
            turn.story.push(story);
        }
    }

    /// A sleep, as tall as it was long; or a look.
    fn draw_poll(&mut self, now: Duration, fds: &[i32]) -> String {
        let slept = now.saturating_sub(self.asked);
        let part = (slept.as_secs_f64() / 0.1).sqrt().min(1.0);
        let (bar, height) = match self.may_sleep {
            true => (Bar::Sleeps, ROW + 2.0 + (TALLEST - ROW) * part),
            false => (Bar::Looks, ROW - 4.0),
        };
        let (top, bottom) = (self.y, self.y + height);
        self.mark(Mark::Bar(bar, POLL, top, bottom));
        let text = match bar {
            Bar::Sleeps => format!("sleeps {}", short(slept)),
            _ => "looks".into(),
        };
        self.mark(Mark::Text(
            Tone::Weak,
            POLL + 13.0,
            (top + bottom) / 2.0 + 4.0,
            text,
        ));
        self.y = bottom + 6.0;
        let slept = match self.may_sleep {
            true => format!("It sleeps {}", short(slept)),
            false => "It only looks".into(),
        };
        match fds {
            [] => format!("{slept}, and no descriptor is ready"),
            fds => {
                let fds: Vec<_> = fds.iter().map(|fd| format!("fd {fd}")).collect();
                format!("{slept}; ready: {}", fds.join(", "))
            }
        }
    }

    fn draw_task(&mut self, place: usize, what: &What) -> String {
        let name = self.lanes[place].name;
        match what {
            What::Spawned(op) => {
                self.y += 6.0;
                let x = self.lanes[place].x;
                self.set(place, Some(Bar::Waits));
                self.mark(Mark::Spot(Spot::Begins, x, self.y));
                self.name_wait(place, op);
                format!("{name} is spawned, and waits: {op}")
            }
            What::Woken(by) => self.draw_wake(place, *by),
            What::Cancelled(by) => {
                let (from, who) = self.source(*by);
                self.draw_arrow(Arrow::Cancels, from, place, "cancels");
                format!("{name} is cancelled by {who}")
            }
            What::Advanced => {
                if self.runs != Some(place) {
                    self.end_run();
                    self.y += 4.0;
                    self.runs = Some(place);
                    self.set(place, Some(Bar::Runs));
                    self.y += 8.0;
                    return format!("{name} is advanced");
                }
                String::new()
            }
            What::Resumed(end, op) => {
                self.label(place, Tone::Strong, outcome(*end).into());
                self.name_wait(place, op);
                format!("{name} is resumed ({}), and waits: {op}", outcome(*end))
            }
            What::Yielded => format!("{name} goes on in the next turn"),
            What::Done(end) => {
                self.end(place, Spot::Ends, format!("{}, done", outcome(*end)));
                format!("{name} is resumed ({}), and is done", outcome(*end))
            }
            What::Failed(error) => {
                self.end(place, Spot::Dropped, error.clone());
                format!("{name} has failed: {error}")
            }
            What::Asked(..) | What::Answered(_) | What::Closed(_) => String::new(),
        }
    }

    fn draw_wake(&mut self, place: usize, by: By) -> String {
        let name = self.lanes[place].name;
        let (from, who) = self.source(by);
        match by {
            By::Program => self.y += 2.0, // there is no lane for it
            By::Task(id) if id == self.lanes[place].id => {}
            By::Deadline => self.draw_arrow(Arrow::Deadline, from, place, "deadline"),
            By::Task(_) => self.draw_arrow(Arrow::Wakes, from, place, ""),
            _ => self.draw_arrow(Arrow::Wakes, from, place, &who.clone()),
        }
        if self.lanes[place].bar == Some(Bar::Waits) {
            self.set(place, Some(Bar::Ready));
        }
        format!("{name} is woken by {who}")
    }

    /// Where an arrow comes from, and what it is.
    fn source(&self, by: By) -> (f64, String) {
        match by {
            By::Descriptor(fd) | By::ForeignLoop(fd) => (POLL, format!("fd {fd}")),
            By::Deadline => (POLL, "its deadline".into()),
            By::Thread => (POLL, "another thread".into()),
            By::Task(id) => match self.lanes.iter().find(|lane| lane.id == id) {
                Some(lane) => (lane.x, lane.name.into()),
                None => (POLL, "a task".into()),
            },
            _ => (POLL, "the program".into()),
        }
    }

    fn draw_arrow(&mut self, kind: Arrow, from: f64, to: usize, text: &str) {
        self.y += ROW * 0.6;
        let (y, to) = (self.y, self.lanes[to].x);
        self.mark(Mark::Arrow(kind, from, to, y));
        if !text.is_empty() {
            let tone = match from == POLL {
                true => Tone::Cause,
                false => Tone::Weak,
            };
            let beside = if to > from { 13.0 } else { -60.0 };
            self.mark(Mark::Text(tone, from + beside, y - 5.0, text.into()));
        }
        self.y += ROW * 0.6;
    }

    fn end_run(&mut self) {
        if let Some(place) = self.runs.take() {
            self.y += 4.0;
            if self.lanes[place].bar == Some(Bar::Runs) {
                self.set(place, Some(Bar::Waits));
            }
        }
    }

    /// The task waits for this. It is written beside its lane if it has not stood there before.
    fn name_wait(&mut self, place: usize, op: &str) {
        if self.lanes[place].waits_for != op {
            self.lanes[place].waits_for = op.into();
            self.label(place, Tone::Weak, op.into());
        }
    }

    fn end(&mut self, place: usize, spot: Spot, text: String) {
        if self.runs == Some(place) {
            self.runs = None;
        }
        self.label(place, Tone::Strong, text);
        self.set(place, None);
        let (x, y) = (self.lanes[place].x, self.y);
        self.mark(Mark::Spot(spot, x, y));
        self.y += 16.0;
    }

    /// Text beside a lane, in a row of its own.
    fn label(&mut self, place: usize, tone: Tone, text: String) {
        let (x, y) = (self.lanes[place].x, self.y);
        self.mark(Mark::Text(tone, x + 13.0, y + 4.0, text));
        self.y += ROW * 0.85;
    }

    /// From here on the lane looks so.
    fn set(&mut self, place: usize, bar: Option<Bar>) {
        let y = self.y;
        let lane = &mut self.lanes[place];
        let before = std::mem::replace(&mut lane.bar, bar);
        let (x, since) = (lane.x, std::mem::replace(&mut lane.since, y));
        if let (Some(before), true) = (before, y > since) {
            self.mark(Mark::Bar(before, x, since, y));
        }
    }

    fn mark(&mut self, mark: Mark) {
        if let Some(turn) = self.turns.last_mut() {
            turn.marks.push(mark);
        }
    }
}

/// An outcome in a word or two.
fn outcome(end: End) -> &'static str {
    match end {
        End::Complete => "complete",
        End::Eof => "end of file",
        End::TimedOut => "timed out",
        End::Limit => "limit",
        End::Failed => "failed",
    }
}

/// A time in two digits or so.
fn short(time: Duration) -> String {
    match time.as_secs_f64() * 1000.0 {
        time if time < 0.95 => format!("{:.0} µs", time * 1000.0),
        time if time < 9.95 => format!("{time:.1} ms"),
        time => format!("{time:.0} ms"),
    }
}
