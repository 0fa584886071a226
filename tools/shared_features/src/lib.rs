//! Features of other crates that the tests and the Python package are built with alike; `Cargo.toml` says why. There is
//! nothing else.
