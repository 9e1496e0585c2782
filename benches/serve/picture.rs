//! The picture: how many times as good as nginx the mirror is, a bar for each row.

use crate::report::{Goal, Row};

/// Draws the ratios as an SVG document.
pub(crate) fn draw(rows: &[Row]) -> String {
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let bottom = TOP + LANE * count;
    let height = bottom + 30;
    let bars = (0..)
        .zip(rows)
        .map(|(number, row)| bar(TOP + LANE * number, row));
    let marks = (1..=3).map(|times| {
        let x = x(f64::from(times));
        format!("<path class=\"mark\" d=\"M{x} 48V{bottom}\"/>\n")
            + &text("tick", x, bottom + 16, &format!("{times} ×"))
    });
    [
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">
<title>{TITLE}</title>
<style>{}</style>
<rect class="paper" width="{WIDTH}" height="{height}"/>
"#,
            include_str!("picture.css")
        ),
        text("title", 20.0, 30, TITLE),
        bars.collect(),
        marks.collect(),
        "</svg>\n".to_owned(),
    ]
    .concat()
}

fn bar(y: u32, row: &Row) -> String {
    let times = match row.goal {
        Goal::AtLeastOne => row.ratio(),
        Goal::AtMostOne => 1.0 / row.ratio(),
    };
    let class = if times < 1.0 { "worse" } else { "better" };
    let (start, end) = (x(0.0), x(times.min(MOST)));
    text("name", start - 10.0, y + 14, &row.what)
        + &format!("<path class=\"{class}\" d=\"M{start} {y}H{end:.1}v20H{start}z\"/>\n")
        + &text("small", end + 6.0, y + 14, &format!("{times:.2}"))
}

fn text(class: &str, x: f64, y: u32, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y}\">{text}</text>\n")
}

fn x(times: f64) -> f64 {
    480.0 + 100.0 * times
}

const TITLE: &str = "oidc-mirror beside nginx: how many times as much, as fast, as small";
const WIDTH: u32 = 880;
const TOP: u32 = 54;
const LANE: u32 = 28;
/// What is longer than this is cut.
const MOST: f64 = 3.3;
