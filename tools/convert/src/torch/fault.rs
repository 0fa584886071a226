//! Error messages about checkpoints.

use super::pickle::Fault;
use crate::Error;
use crate::display::one_line;
use std::path::Path;

/// Fix for a file with damaged bytes.
pub const AGAIN: &str = "download or copy it again";

/// Error message for a fault of the pickle called `what`.
pub fn refusal(path: &Path, what: &str, fault: Fault) -> Error {
    match fault {
        Fault::Io(e) => Error::io(path)(e),
        Fault::End => Error::weights(path, format!("is cut short: it ends inside its {what}; {AGAIN}")),
        Fault::Broken(why) => {
            Error::weights(path, format!("its {what} is broken: {}; {AGAIN}", one_line(&why)))
        }
        Fault::Large(how) => Error::weights(
            path,
            format!("its {what} {how} than that of any network; save model.state_dict() alone"),
        ),
        Fault::Forbidden(name) => Error::weights(
            path,
            format!(
                "its pickle asks for {}, which no weights need; nothing was executed; if a whole model was saved, load \
                 it in its own program and torch.save(model.state_dict(), FILE), else distrust the file",
                one_line(&name)
            ),
        ),
    }
}

/// Error for a file that has fewer bytes than required.
pub fn cut_short(path: &Path, length: u64, needed: u64, at_least: &str) -> Error {
    Error::weights(
        path,
        format!("is cut short: {length} bytes long, and should have {at_least}{needed}; {AGAIN}"),
    )
}
