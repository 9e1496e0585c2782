//! The small pieces of which the page is made.

use maud::{Markup, html};

use crate::admin::{Check, Verdict};

/// A shape for it, so that nobody depends on colours.
pub(super) const fn glyph(verdict: Verdict) -> char {
    match verdict {
        Verdict::Attention => '!',
        Verdict::Unready => '✕',
        Verdict::Well => '✓',
    }
}

/// A word with its shape.
pub(super) fn badge(is_well: bool, word: &str) -> Markup {
    let (class, verdict) = if is_well {
        ("well", Verdict::Well)
    } else {
        ("attention", Verdict::Attention)
    };
    html! {
        span.badge.(class) { span.sign aria-hidden="true" { (glyph(verdict)) } " " (word) }
    }
}

/// What is wrong, of what, and what to do about it; nothing when all is well.
pub(super) fn warning(check: &Check, of: Option<&str>) -> Markup {
    let Some(advice) = &check.advice else {
        return html! {};
    };
    html! {
        li {
            p { b { (check.name) } @if let Some(of) = of { " " bdi { (of) } } " " bdi { (check.found) } }
            p.advice { bdi { (advice) } }
        }
    }
}
