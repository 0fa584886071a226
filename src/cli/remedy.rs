//! The flag that avoids an error: the library names the remedy, the command line its flag.

use crate::error::{Error, Remedy};

/// The message of an error for a person at the command line: one line without control characters.
pub fn explain(error: &Error) -> String {
    error.line_with(flag)
}

fn flag(remedy: &Remedy) -> String {
    match remedy {
        Remedy::OtherFolder => "give another --out".into(),
        Remedy::RemoveFolder => "remove the folder first".into(),
        Remedy::Resume => "continue the run with --resume".into(),
        Remedy::StartAnew => "start a new run: leave out --resume and give another --out".into(),
        Remedy::SameData => "resume with the --data that the run was started with".into(),
        Remedy::Precision(name) => format!("give --precision {name}"),
        Remedy::BatchNorm(name) => format!("give --batchnorm {name}"),
        Remedy::Ranks(ranks) if ranks == "1" => "start it without a launcher".into(),
        Remedy::Ranks(ranks) => format!("start {ranks} ranks"),
        Remedy::OtherRanks => "give --other-ranks to go on all the same, no longer bit for bit".into(),
        Remedy::SmallerBatch => "give a smaller --batch where features are extracted".into(),
        Remedy::CpuDevice => "give --device cpu, which has no requirements".into(),
        Remedy::WithoutCapture => "give --no-graph, which runs each step plainly".into(),
        Remedy::IgnoreCameras => "give --ignore-cameras if the camera numbers have no meaning".into(),
        Remedy::SkipImages => {
            "leave unreadable images out with --bad-images skip (reproduce and sweep: with --set \
                               data.bad_images=skip)"
                .into()
        }
        Remedy::SkipTrainingImages => "leave unreadable images out with --set data.bad_images=skip".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_is_a_flag_here_and_words_in_the_library() {
        let error = Error::Run("a\nb: not empty".into()).with_remedies([Remedy::OtherFolder, Remedy::Resume]);
        assert_eq!(
            explain(&error),
            "a\\nb: not empty; give another --out, or continue the run with --resume"
        );
        assert_eq!(error.to_string(), "a\nb: not empty; choose another folder, or resume the run");
        let (context, remedies) = ("fix the cause".into(), vec![Remedy::Resume]);
        let outer = Error::Remedied { error: error.into(), context, remedies };
        assert!(explain(&outer).ends_with("--resume; fix the cause; continue the run with --resume"));
    }
}
