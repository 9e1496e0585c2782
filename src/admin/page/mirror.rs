//! One mirror on the page.

use std::time::Duration;

use maud::{Markup, html};
use url::form_urlencoded;

use super::{
    document::class,
    key,
    parts::{badge, glyph, warning},
};
use crate::{
    admin::{MirrorStanding, ReadBackStanding, TargetStanding, UpstreamStanding},
    oidc::Time,
    when::{ago, delay, span},
};

/// Where only this mirror is shown.
pub(super) fn link(name: &str) -> String {
    let mut query = form_urlencoded::Serializer::for_suffix(String::from("/?"), "/?".len());
    query.append_pair("mirror", name);
    query.finish()
}

/// All there is to say about one mirror.
pub(super) fn section(mirror: &MirrorStanding, now: Time) -> Markup {
    html! {
        article class=(class(mirror.verdict)) {
            header {
                span.sign title=(mirror.verdict) { (glyph(mirror.verdict)) }
                h2 { a href=(link(&mirror.name)) { bdi { (mirror.name) } } }
                p { code { (mirror.issuer) } }
            }
            ul.warnings {
                @for check in &mirror.checks { (warning(check, None)) }
            }
            h3 { "Keys" }
            p.quiet { (given_out(mirror, now)) }
            (key::section(&mirror.keys, mirror.read_back.is_some(), now))
            h3 { "API servers" }
            ul.rows {
                @for it in &mirror.upstreams { (upstream(it, now)) }
            }
            @if !mirror.targets.is_empty() {
                h3 { "Targets" }
                ul.rows {
                    @for it in &mirror.targets { (target(it, now)) }
                }
            }
            @if let Some(it) = &mirror.read_back {
                h3 { "Relying parties" }
                ul.rows { (read_back(it, now)) }
            }
        }
    }
}

fn given_out(mirror: &MirrorStanding, now: Time) -> Markup {
    html! {
        @match &mirror.snapshot {
            Some(snapshot) => {
                (snapshot.keys) @if snapshot.keys == 1 { " key is" } @else { " keys are" }
                " given out, as set " code { (snapshot.hash) }
            }
            None => { "No key is given out" }
        }
        @match mirror.last_answer {
            Some(answer) => { "; last good answer " (ago(answer, now)) }
            None => { "; no API server has answered well yet" }
        }
    }
}

fn upstream(upstream: &UpstreamStanding, now: Time) -> Markup {
    let failing = upstream.failure.as_ref().map(|trouble| {
        let since = span(now.since(trouble.since));
        format!("{} for {since}", trouble.reason)
    });
    html! {
        li {
            @match &failing {
                Some(failing) => { (badge(false, failing)) }
                None => { (badge(true, "read")) }
            }
            code { (upstream.url) }
            @match upstream.last_answer {
                Some(answer) => { span.quiet { "last good answer " (ago(answer, now)) } }
                None => { span.quiet { "never answered well" } }
            }
            @match upstream.issuer_matches {
                Some(true) => { span.quiet { "issuer matches" } }
                Some(false) => { (badge(false, "another issuer")) }
                None => {}
            }
            @if upstream.keys_left_out > 0 {
                (badge(false, &format!("{} left out", upstream.keys_left_out)))
            }
        }
    }
}

fn target(target: &TargetStanding, now: Time) -> Markup {
    html! {
        li {
            @match &target.failure {
                Some(trouble) => { (badge(false, &trouble.reason)) }
                None if target.is_drifted => { (badge(false, "drifted")) }
                None if target.last_success.is_none() => { span.badge { "not yet" } }
                None => { (badge(true, "right")) }
            }
            code { (target.url) }
            @if let Some(time) = target.last_success {
                span.quiet { "last found or made right " (ago(time, now)) }
            }
            span.quiet { "written " (target.writes) "×" }
        }
    }
}

fn read_back(read_back: &ReadBackStanding, now: Time) -> Markup {
    html! {
        li {
            @match &read_back.failure {
                Some(trouble) => { (badge(false, &trouble.reason)) }
                None if read_back.is_public => { (badge(true, "read what is given out")) }
                None => { span.badge { "not looked yet" } }
            }
            @if let Some(time) = read_back.last_success {
                span.quiet { "last right " (ago(time, now)) }
            }
            @if let Some(took) = read_back.took_seconds {
                span.quiet { "the last change was public after " (delay(Duration::try_from_secs_f64(took).unwrap_or_default())) }
            }
        }
    }
}
