//! The name of this process among the publishers to one target.

use crate::config::settings::Settings;

/// The name in the settings, or the host's: what tells the nodes of a control plane apart.
pub(super) fn name(settings: &Settings) -> String {
    match &settings.publisher {
        Some(name) => name.clone(),
        None => gethostname::gethostname().to_string_lossy().into_owned(),
    }
}
