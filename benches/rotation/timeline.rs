//! The picture: who lists and signs with which key, and whom relying parties refuse meanwhile.

use std::{ops::Range, slice};

use crate::{
    Outcome, PerKey,
    plane::{END, HOUR, KEYS, OUTAGE, Plane, ROTATIONS, Second, Span, steps},
    readable, stretches,
};

/// Draws everything as an SVG document.
pub(crate) fn draw(plane: &Plane, needed: &[PerKey], outcomes: &[Outcome]) -> String {
    let tokens = |key: usize| {
        let needed = stretches(needed.iter().map(|needed| needed[key]));
        row(TOKENS, key, "", &needed)
    };
    let servers = (0..).zip(&plane.servers).map(|(number, spans)| {
        let name = format!("API server {}", number + 1);
        let y = TOP + number * LANE;
        label(y, &name, "lists and signs")
            + &spans.iter().map(|it| server(y, it)).collect::<String>()
    });
    let strategies = (0..).zip(outcomes).map(|(number, outcome)| {
        let y = STRATEGIES + number * LANE;
        label(y, outcome.name, outcome.detail) + &verdict(y, &outcome.refused)
    });
    [
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">
<title>{TITLE}: when relying parties refuse valid tokens</title>
<style>{}</style>
<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>
"#,
            include_str!("timeline.css")
        ),
        text("title", LEFT.into(), 28, TITLE),
        marks(),
        servers.collect(),
        label(
            TOKENS,
            "Tokens that are valid",
            "by the key that signed them",
        ),
        (0..KEYS).map(tokens).collect(),
        strategies.collect(),
        legend(),
        "</svg>\n".to_owned(),
    ]
    .concat()
}

/// The steps by number, the outage and the hours, through all lanes.
fn marks() -> String {
    let step = |(number, at): (u32, Second)| {
        let x = x(at);
        format!(r#"<path class="mark" d="M{x} 58V{AXIS}"/><circle cx="{x}" cy="58" r="10"/>"#)
            + &text("number", x, 62, &number.to_string())
    };
    let hour = |hour: Second| text("tick", x(hour * HOUR), AXIS + 20, &format!("{hour} h"));
    let steps = (1..).zip(steps().map(|it| it.at)).map(step);
    let outage = bars("outage", TOP, AXIS - TOP, slice::from_ref(&OUTAGE));
    let outage = outage + &text("tick", x(OUTAGE.start), 62, "outage");
    let hours = (0..=END / HOUR).step_by(6).map(hour);
    steps.chain([outage]).chain(hours).collect()
}

/// A row for each key: solid where the server signs with it, pale where it only lists it.
fn server(y: u32, span: &Span) -> String {
    let Some(up) = &span.up else {
        return String::new();
    };
    let one = |key: &usize| {
        let class = if *key == up.files.signs { "" } else { " pale" };
        row(y, *key, class, slice::from_ref(&span.time))
    };
    up.files.lists.iter().map(one).collect()
}

/// Green, and red over it while a valid token is refused; in words where there is room.
fn verdict(y: u32, refused: &[Range<Second>]) -> String {
    let starts = refused.iter().map(|it| it.start).chain([END]);
    let ends = [0].into_iter().chain(refused.iter().map(|it| it.end));
    let accepted = ends.zip(starts).map(|(start, end)| start..end);
    let accepted = accepted.map(|it| words(y, &it, "every valid token accepted"));
    let refusals = refused.iter().map(|it| {
        let length = readable(it.end - it.start);
        words(y, it, &format!("valid tokens refused for {length}"))
    });
    bars("good", y, BAR, slice::from_ref(&(0..END)))
        + &bars("bad", y, BAR, refused)
        + &accepted.chain(refusals).collect::<String>()
}

fn words(y: u32, time: &Range<Second>, words: &str) -> String {
    if time.end - time.start < ROOM_FOR_WORDS {
        return String::new();
    }
    text(
        "verdict",
        f64::midpoint(x(time.start), x(time.end)),
        y + 18,
        words,
    )
}

fn legend() -> String {
    let mut svg = String::new();
    for (number, rotation) in (0..).zip(&ROTATIONS) {
        let x = f64::from(LEFT + 300 * number);
        svg += &text("heading", x, LEGEND, rotation.name);
        for (row, step) in (1..).zip(&rotation.steps) {
            let words = format!("{}: {}", 3 * number + row, step.text);
            svg += &text("small", x, LEGEND + 20 * row, &words);
        }
    }
    let words = "Each step restarts one API server after the other, 20 minutes apart.";
    svg += &text("small", LEFT.into(), LEGEND + 80, words);
    for (row, (class, words)) in (0..).zip([
        ("key0", "key 1"),
        ("key1", "key 2"),
        ("key2", "key 3"),
        ("key1 pale", "pale: it is listed, and does not sign"),
        ("outage", "no API server answers for ten minutes"),
    ]) {
        let y = LEGEND + 20 * row;
        svg += &format!(r#"<path class="{class}" d="M890 {}h16v12h-16z"/>"#, y - 10);
        svg += &text("small", 916.0, y, words);
    }
    svg
}

/// One of the rows of a lane, one for each key.
fn row(y: u32, key: usize, class: &str, times: &[Range<Second>]) -> String {
    bars(&format!("key{key}{class}"), y + [0, 10, 20][key], 9, times)
}

fn bars(class: &str, y: u32, height: u32, times: &[Range<Second>]) -> String {
    let bar = |time: &Range<Second>| {
        let (start, end) = (x(time.start), x(time.end));
        format!("M{start:.2} {y}H{end:.2}v{height}H{start:.2}z")
    };
    let bars: String = times.iter().map(bar).collect();
    format!("<path class=\"{class}\" d=\"{bars}\"/>\n")
}

fn label(y: u32, name: &str, detail: &str) -> String {
    let x = f64::from(LEFT - 14);
    text("name", x, y + 12, name) + &text("small end", x, y + 26, detail)
}

fn text(class: &str, x: f64, y: u32, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.2}\" y=\"{y}\">{text}</text>\n")
}

fn x(time: Second) -> f64 {
    f64::from(LEFT) + f64::from(time) / 240.0
}

const TITLE: &str = "Two rotations of the signing key, and an outage";
const WIDTH: u32 = 1200;
const HEIGHT: u32 = 612;
const LEFT: u32 = 270;
const TOP: u32 = 76;
const LANE: u32 = 42;
const BAR: u32 = 29;
const TOKENS: u32 = TOP + 3 * LANE;
const STRATEGIES: u32 = TOKENS + LANE + 13;
const AXIS: u32 = STRATEGIES + 5 * LANE;
const LEGEND: u32 = AXIS + 50;
const ROOM_FOR_WORDS: Second = 12 * HOUR;
