//! The one directive of `Cache-Control` that matters here.

use std::time::Duration;

/// For how long a response may be used (RFC 9111 section 5.2.2.1); `None` when it does not say.
pub(crate) fn max_age(cache_control: &str) -> Option<Duration> {
    cache_control.split(',').find_map(|directive| {
        let (name, value) = directive.split_once('=')?;
        let is_max_age = name.trim().eq_ignore_ascii_case("max-age");
        let seconds = is_max_age.then(|| value.trim().trim_matches('"').parse())?;
        seconds.ok().map(Duration::from_secs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_found_among_other_directives() {
        for (text, seconds) in [
            ("public, max-age=3600", Some(3600)),
            ("Max-Age = \"5\", public", Some(5)),
            ("max-age=0", Some(0)),
            ("s-maxage=9, no-cache", None),
            ("max-age=soon", None),
            ("", None),
        ] {
            assert_eq!(max_age(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
