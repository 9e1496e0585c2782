//! `/readyz`: what is well and what is not, one line a check, as kube-apiserver writes it.

use std::fmt::Write as _;

use super::{
    Views,
    standing::{Check, checks},
};
use crate::oidc::Time;

/// Whether every mirror is ready, and that in words: everything that is looked at when `verbose`,
/// otherwise what was found about the mirrors that are not ready.
pub(super) fn render(views: &Views, verbose: bool, now: Time) -> (bool, String) {
    let mut text = String::new();
    let (mut is_ready, mut warnings) = (true, 0);
    for glance in views.glances(now) {
        is_ready &= glance.is_ready();
        if verbose || !glance.is_ready() {
            for check in checks(&glance) {
                warnings += usize::from(!check.is_well());
                line(
                    &mut text,
                    &format!("{}/{}", glance.view.name, check.name),
                    &check,
                );
            }
        }
    }
    for certificate in views.certificates(now).iter().filter(|_| verbose) {
        let check = &certificate.check;
        warnings += usize::from(!check.is_well());
        line(
            &mut text,
            &format!("{} {}", check.name, certificate.name),
            check,
        );
    }
    text.push_str(&match (is_ready, verbose, warnings) {
        (true, false, _) => "ok\n".to_owned(),
        (true, true, 0) => "readyz check passed\n".to_owned(),
        (true, true, _) => format!(
            "readyz check passed: the documents are given out; what is marked [-] needs attention \
             ({warnings})\n"
        ),
        (false, ..) => "readyz check failed\n".to_owned(),
    });
    (is_ready, text)
}

fn line(text: &mut String, name: &str, check: &Check) {
    let (mark, word) = if check.is_well() {
        ('+', "ok")
    } else {
        ('-', "failed")
    };
    let mut line = format!("[{mark}]{name} {word}");
    let parts = [Some(&check.found), check.advice.as_ref()];
    for part in parts.into_iter().flatten().filter(|it| !it.is_empty()) {
        _ = write!(line, ": {part}");
    }
    // Nothing that others wrote can begin a line.
    for character in line.chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text.push('\n');
}
