//! The page as a whole.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use url::form_urlencoded;

use super::{
    mirror,
    parts::{badge, glyph, warning},
};
use crate::{
    admin::{CertificateStanding, MirrorStanding, Standing, Verdict},
    when::moment,
};

/// Which mirrors are to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::admin) struct Choice {
    /// Only the one of this name.
    mirror: Option<String>,
}

impl Choice {
    /// What the query of a request asks for.
    pub(in crate::admin) fn asked(query: Option<&str>) -> Self {
        let query = query.unwrap_or_default().as_bytes();
        let mut members = form_urlencoded::parse(query);
        let mirror = members.find(|(name, value)| name == "mirror" && !value.is_empty());
        Self {
            mirror: mirror.map(|(_, name)| name.into_owned()),
        }
    }
}

/// What the page may do: nothing but look as its own style says, and ask for one mirror.
pub(in crate::admin) fn policy() -> HeaderValue {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'"
        );
        HeaderValue::try_from(policy).expect("base64 between constants is a header value")
    });
    POLICY.clone()
}

/// The page, and whether there is what was asked for.
pub(in crate::admin) fn render(standing: &Standing, choice: &Choice) -> (bool, String) {
    let mut mirrors: Vec<_> = standing.mirrors.iter().collect();
    let (is_known, content) = match &choice.mirror {
        Some(name) => {
            mirrors.retain(|it| it.name == *name);
            (!mirrors.is_empty(), chosen(name, &mirrors, standing))
        }
        None => {
            // Those that do worst come first, otherwise in the order configured.
            mirrors.sort_by_key(|it| it.verdict);
            (true, all(&mirrors, standing))
        }
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content=(REFRESH_SECONDS);
                meta name="color-scheme" content="light dark";
                title { (title(standing)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (content)
                footer {
                    p { "oidc-mirror " (standing.release) }
                    p { "as of " (moment(standing.as_of, standing.as_of)) ", again every " (REFRESH_SECONDS) " s" }
                    p { "for machines: " a href="/status" { "status" } " " a href="/metrics" { "metrics" } " " a href="/readyz?verbose" { "checks" } }
                }
            }
        }
    };
    (is_known, page.into_string())
}

fn title(standing: &Standing) -> String {
    format!(
        "{} {} · oidc-mirror",
        glyph(standing.verdict),
        headline(standing)
    )
}

fn headline(standing: &Standing) -> String {
    let (troubled, of) = (standing.troubled(), standing.mirrors.len());
    match standing.verdict {
        Verdict::Well => "All well".to_owned(),
        Verdict::Attention if troubled == 1 => "One thing needs attention".to_owned(),
        Verdict::Attention => format!("{troubled} things need attention"),
        Verdict::Unready if of == 1 => "Nothing is given out".to_owned(),
        Verdict::Unready => {
            let mirrors = standing.mirrors.iter();
            match mirrors.filter(|it| it.verdict == Verdict::Unready).count() {
                1 => format!("1 of {of} mirrors gives nothing out"),
                unready => format!("{unready} of {of} mirrors give nothing out"),
            }
        }
    }
}

fn chosen(name: &str, mirrors: &[&MirrorStanding], standing: &Standing) -> Markup {
    html! {
        nav { a href="/" { "All mirrors" } }
        main {
            @for it in mirrors {
                (mirror::section(it, standing.as_of))
            }
            @if mirrors.is_empty() {
                h1 { "No mirror is called " bdi { (crate::escaped::escaped(name)) } }
            }
        }
    }
}

fn all(mirrors: &[&MirrorStanding], standing: &Standing) -> Markup {
    let (shown, others) = mirrors.split_at(mirrors.len().min(SHOWN_MIRRORS));
    let is_quiet = standing.certificates.iter().all(|it| it.check.is_well());
    html! {
        header class=(class(standing.verdict)) {
            span.sign aria-hidden="true" { (glyph(standing.verdict)) }
            h1 { (headline(standing)) }
        }
        main {
            @if !is_quiet { (certificates(&standing.certificates)) }
            @for it in shown {
                (mirror::section(it, standing.as_of))
            }
            @if is_quiet { (certificates(&standing.certificates)) }
            @if !others.is_empty() {
                (rest(others))
            }
        }
    }
}

fn certificates(certificates: &[CertificateStanding]) -> Markup {
    if certificates.is_empty() {
        return html! {};
    }
    html! {
        article {
            h2 { "Certificates" }
            ul.warnings {
                @for it in certificates {
                    (warning(&it.check, Some(&it.name)))
                }
            }
            ul.rows {
                @for it in certificates {
                    li {
                        (badge(it.check.is_well(), if it.check.is_well() { "valid" } else { "needs attention" }))
                        b { bdi { (it.name) } }
                        span { (it.check.found) }
                        span.quiet { bdi { (it.hosts.join(", ")) } }
                    }
                }
            }
        }
    }
}

/// Mirrors for which there is no room: a line each, and a way to find any of them.
fn rest(mirrors: &[&MirrorStanding]) -> Markup {
    let (listed, others) = mirrors.split_at(mirrors.len().min(LISTED_MIRRORS));
    html! {
        article {
            h2 { (mirrors.len()) " more mirrors" }
            form {
                label { "Show the mirror called " input name="mirror" required; }
                " " button { "Show" }
            }
            details {
                summary {
                    @if others.is_empty() { "All of them" } @else { "The first " (listed.len()) }
                }
                ul.many {
                    @for it in listed {
                        li class=(class(it.verdict)) {
                            span.sign title=(it.verdict) { (glyph(it.verdict)) } " "
                            a href=(mirror::link(&it.name)) { bdi { (it.name) } }
                        }
                    }
                }
            }
        }
    }
}

pub(super) const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Attention => "attention",
        Verdict::Unready => "unready",
        Verdict::Well => "well",
    }
}

const STYLE: &str = include_str!("style.css");
/// As often as API servers are asked.
const REFRESH_SECONDS: u8 = 15;
/// As many mirrors as are shown in full.
const SHOWN_MIRRORS: usize = 20;
/// As many of the others as are listed.
const LISTED_MIRRORS: usize = 500;
