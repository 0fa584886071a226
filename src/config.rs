//! To come in this first build.
