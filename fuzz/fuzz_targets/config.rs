//! Settings, as read by training and by reports.

#![no_main]

use bcreid::config::Config;
use bcreid::report::run::Settings;
use bcreid_fuzz::{folder, good, put};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = folder();
    let path = put(&folder, "config.toml", bytes);
    if let Some(config) = good(Config::resolve(Some(&path), &[])) {
        let text = config.to_toml();
        assert_eq!(Config::from_toml(&text).expect("settings that were written can be read"), config);
    }
    if let Some(settings) = good(Settings::read(folder.path())) {
        assert!(settings.keys().all(|key| settings.get(key).is_some()));
    }
});
