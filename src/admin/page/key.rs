//! The keys of a mirror, each with its time line.

use maud::{Markup, html};

use super::time_line::Window;
use crate::{
    admin::KeyStanding,
    escaped::shortened,
    oidc::{State, Time},
    when::{ago, span},
};

/// The keys under one scale of time; those that are gone are folded away.
pub(super) fn section(keys: &[KeyStanding], is_read_back: bool, now: Time) -> Markup {
    let (gone, present): (Vec<_>, Vec<_>) = keys.iter().partition(|it| it.state == State::Retired);
    let window = Window::of(keys, now);
    html! {
        @if !present.is_empty() {
            div.keys {
                (window.scale())
                @for it in present { (row(it, is_read_back, &window)) }
            }
            p.quiet.legend {
                "solid: listed by an API server · dashed: until it retires · dotted: held · "
                "○ public since · ◇ last listed · ✕ revoked"
            }
        }
        @if !gone.is_empty() {
            details {
                summary { (gone.len()) " retired" }
                div.keys {
                    @for it in gone { (row(it, is_read_back, &window)) }
                }
            }
        }
    }
}

fn row(key: &KeyStanding, is_read_back: bool, window: &Window) -> Markup {
    html! {
        div.key {
            p {
                span.badge.(key.state) { span.sign aria-hidden="true" { (glyph(key.state)) } " " (key.state) }
                code.kid { bdi { (shortened(&key.kid, SHOWN_CHARS)) } }
                span.quiet { (key.kind) }
            }
            (window.line(key))
            p.quiet { (told(key, is_read_back, window.now())) }
        }
    }
}

/// What the time line shows, in words.
fn told(key: &KeyStanding, is_read_back: bool, now: Time) -> String {
    let mut parts = vec![format!("first seen {}", ago(key.first_seen, now))];
    match key.state {
        State::Active | State::Retiring => parts.extend(match key.public_since {
            Some(time) => Some(format!("public since {}", ago(time, now))),
            None if is_read_back => Some("not seen in public yet".to_owned()),
            // Nobody looks.
            None => None,
        }),
        State::Held => parts.push("not published until it is approved".to_owned()),
        State::Retired => parts.push(format!("retired {}", ago(key.since, now))),
        State::Revoked => parts.push(format!("revoked {}", ago(key.since, now))),
    }
    if let Some(absent) = key.absent_since {
        parts.push(format!("last listed {}", ago(absent, now)));
    }
    if let Some(end) = key.retires_at {
        parts.push(format!(
            "retires in {} at the earliest",
            span(end.since(now))
        ));
    }
    parts.join(" · ")
}

const fn glyph(state: State) -> char {
    match state {
        State::Active => '●',
        State::Held => '?',
        State::Retired => '○',
        State::Retiring => '◐',
        State::Revoked => '✕',
    }
}

/// As much of a kid as is shown; Kubernetes' own are shorter.
const SHOWN_CHARS: usize = 64;
