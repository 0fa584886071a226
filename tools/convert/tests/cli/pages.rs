//! Completions and manual pages.

use super::{Folder, refuse, succeed};
use std::process::Command;

#[test]
fn completions_name_commands_and_options() {
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(&["completions", shell]);
        for word in ["bcreid-convert", "completions", "prototxt", "torchvision"] {
            assert!(script.contains(word), "{word} is not in the script of {shell}");
        }
    }
    // bash reads its script.
    let script = succeed(&["completions", "bash"]);
    let test = format!(
        "{script}\nCOMP_WORDS=(bcreid-convert --proto); COMP_CWORD=1; \
         _bcreid__convert bcreid-convert --proto bcreid-convert; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["-c", &test]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "--prototxt", "{error}");
}

#[test]
fn manual_pages_are_written_once() {
    let folder = Folder::new();
    let out = folder.at("");
    // The tests' own call has --force.
    assert!(succeed(&["man", "--out", &out]).contains(": 3 pages"));
    let read = |name: &str| std::fs::read_to_string(folder.at(name)).unwrap();
    assert!(read("bcreid-convert.1").contains(".TH bcreid-convert 1"));
    assert!(read("bcreid-convert.1").contains("prototxt"));
    for name in ["completions", "man"] {
        assert!(read(&format!("bcreid-convert-{name}.1")).contains(&format!(".TH bcreid-convert-{name} 1")));
    }
    let call = |out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid-convert"));
        let output = command.args(["man", "--out", out]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = call(&out);
    assert!(error.contains("exists") && error.contains("--force") && error.lines().count() == 1, "{error}");
    let new = folder.at("new/man1");
    succeed(&["man", "--out", &new]);
    assert!(std::fs::metadata(format!("{new}/bcreid-convert-man.1")).unwrap().is_file());
    let (file, below) = (folder.at("file"), folder.at("file/man"));
    std::fs::write(&file, "").unwrap();
    refuse(&["man", "--out", &below], &["bcreid-convert: ", "file/man"]);
    #[cfg(unix)]
    {
        let (linked, victim) = (folder.at("linked"), folder.at("victim"));
        std::fs::create_dir(&linked).unwrap();
        std::fs::write(&victim, "dear").unwrap();
        std::os::unix::fs::symlink(&victim, format!("{linked}/bcreid-convert-man.1")).unwrap();
        refuse(&["man", "--out", &linked], &["bcreid-convert-man.1: a symbolic link"]);
        assert_eq!(std::fs::read_dir(&linked).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "dear");
    }
}

#[test]
fn a_call_without_weights_is_refused_as_before() {
    for arguments in [&[][..], &["--list"], &["in.pth"], &["man"], &["completions"], &["completions", "tcsh"]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_bcreid-convert")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    // A file of a command's name is reached by its path.
    refuse(&["./man", "--list"], &["./man"]);
}
