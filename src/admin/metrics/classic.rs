//! `OpenMetrics` text in the older text format of Prometheus.
//!
//! There a family is named as its samples are, and there are neither units nor an end.

/// `text`, which is `OpenMetrics`, in the older format.
pub(super) fn classic(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut parts = line.splitn(4, ' ');
        let (mark, word, name) = (parts.next(), parts.next(), parts.next());
        match (mark, word, name, parts.next()) {
            (Some("#"), Some("HELP"), Some(name), Some(help)) => {
                // The type stands in the next line.
                let kind = lines.next().and_then(|line| line.rsplit(' ').next());
                let (suffix, kind) = match kind.unwrap_or("untyped") {
                    "counter" => ("_total", "counter"),
                    "info" => ("_info", "gauge"),
                    kind => ("", kind),
                };
                classic.push_str(&format!(
                    "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"
                ));
            }
            (Some("#"), ..) => {}
            _ => {
                classic.push_str(line);
                classic.push('\n');
            }
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_their_samples() {
        let text = "# HELP a_build The \\n release.\n# TYPE a_build info\n\
            a_build_info{v=\"# EOF\"} 1\n# HELP a_time_seconds When.\n\
            # TYPE a_time_seconds gauge\n# UNIT a_time_seconds seconds\n\
            a_time_seconds 1.5\n# HELP a_puts How often.\n# TYPE a_puts counter\n\
            a_puts_total 2\n# EOF\n";
        let expected = "# HELP a_build_info The \\n release.\n# TYPE a_build_info gauge\n\
            a_build_info{v=\"# EOF\"} 1\n# HELP a_time_seconds When.\n\
            # TYPE a_time_seconds gauge\na_time_seconds 1.5\n# HELP a_puts_total How often.\n\
            # TYPE a_puts_total counter\na_puts_total 2\n";
        assert_eq!(classic(text), expected);
    }
}
