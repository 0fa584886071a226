//! The contents of the report page.

use crate::support::{bcreid, cpu, evaluate_run, succeed, train};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcreid::report::page::{Options, page};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

fn options() -> Options {
    Options {
        only: Vec::new(),
        queries: Some(2),
        seed: 1,
        images: None,
        made: UNIX_EPOCH + Duration::from_secs(1_732_000_000),
    }
}

/// What stands between two words, the first time.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from}")).1;
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

fn two_runs(folder: &Path) -> Vec<PathBuf> {
    let runs = vec![train(&folder.join("baseline"), 0.0, 40), train(&folder.join("full"), 1.0, 40)];
    for (run, noise) in runs.iter().zip([0.6, 0.3]) {
        evaluate_run(run, "made-up", noise, &folder.join("images"));
    }
    runs
}

#[test]
fn two_runs_compared() {
    let folder = tempfile::tempdir().unwrap();
    let runs = two_runs(folder.path());
    let html = page(&runs, &options(), &cpu()).unwrap();
    assert_eq!(html, page(&runs, &options(), &cpu()).unwrap(), "the same page twice");
    for id in ["runs", "results", "training", "figure1", "cmc", "pairs", "lists", "settings"] {
        assert_eq!(html.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    assert!(html.contains("2024-11-19 07:06 UTC") && html.contains(env!("CARGO_PKG_VERSION")));
    // Six curves, two panels of figure 1, one CMC, two histograms, one ROC.
    assert_eq!(html.matches("<svg class=\"chart\"").count(), 12);
    // Two queries of three kinds, each with itself and ten images of both runs.
    assert_eq!(html.matches("<article class=\"query\"").count(), 6);
    assert_eq!(html.matches("<ol class=\"strip\"").count(), 12);
    let images = html.matches("<img src=\"data:image/jpeg;base64,").count();
    let unread = html.matches("class=\"unread\"").count();
    assert_eq!(images + unread, 6 * 21);
    assert!(images >= 6 * 21 - 12 && unread < 12, "{unread} images were not read");
    for mark in ["✓ correct", "✗ wrong", "– own cam.", "– junk"] {
        assert!(html.contains(mark), "{mark}");
    }
    // Only lambda differs.
    let differing = between(&html, "Where the runs differ", "</table>");
    assert_eq!(differing.matches("<tr>").count(), 2, "{differing}");
    assert!(differing.contains("<code>0.0</code>") && differing.contains("<code>1.0</code>"));
    assert!(between(&html, "All settings", "</details>").contains("solver.momentum"));
}

#[test]
fn the_table_has_the_evaluations_figures_and_their_definitions() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(&folder.path().join("full"), 1.0, 40);
    let kept = evaluate_run(&run, "made-up", 0.5, &folder.path().join("images"));
    let html = page(std::slice::from_ref(&run), &options(), &cpu()).unwrap();
    let table = between(&html, "<table class=\"metrics\">", "</table>");
    for value in
        [kept.report.rank1, kept.report.rank20, kept.report.map_market, kept.report.map_sum, kept.report.minp]
    {
        assert!(
            table.contains(&format!("<td class=\"number\">{:.2}</td>", 100.0 * value)),
            "{value}: {table}"
        );
    }
    assert!(!table.contains("<strong>"), "nothing is best where nothing is compared");
    let notes = between(&html, "<ul class=\"notes\">", "</ul>");
    for words in
        ["trapezoid", "Distance: Euclidean", "12 of them with a match", "5 junk images", "Feature: 8 values"]
    {
        assert!(notes.contains(words), "{words}: {notes}");
    }
    assert!(!html.contains("differs from that of the stored features"));

    let mut other = kept;
    other.report.map_market *= 0.9;
    other.write(&run).unwrap();
    assert!(page(&[run], &options(), &cpu()).unwrap().contains("differs from that of the stored features"));
}

#[test]
fn nothing_is_loaded_and_no_other_script_may_run() {
    let folder = tempfile::tempdir().unwrap();
    let html = page(&two_runs(folder.path()), &options(), &cpu()).unwrap();
    for link in [
        "http:",
        "https:",
        "//www",
        "url(",
        "@import",
        "<iframe",
        "<object",
        "<embed",
        "srcset",
        " style=\"",
        "javascript:",
    ] {
        assert!(!html.contains(link), "{link}: {}", &html[html.find(link).unwrap()..][..80]);
    }
    for attribute in ["src=\"", "href=\""] {
        let values = html.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap());
        for value in values {
            assert!(value.starts_with('#') || value.starts_with("data:"), "{attribute}{value}");
        }
    }
    let policy = between(&html, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    let policy = policy.replace("&#39;", "'").replace("&#x27;", "'").replace("&#43;", "+");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
        let text = between(&html, &format!("<{element}>"), &format!("</{element}>"));
        let hash = STANDARD.encode(Sha256::digest(text.as_bytes()));
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")), "{policy}");
    }
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("<style").count(), 1);
}

#[test]
fn hostile_names_are_text() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(&folder.path().join("<img src=x onerror=alert(1)>\"'&{{ css }}"), 1.0, 30);
    let toml = std::fs::read_to_string(run.join("config.toml")).unwrap();
    std::fs::write(
        run.join("config.toml"),
        toml + "[\"<i>\"]\n\"</table>\" = \"</script><script>alert(3)</script>\"\n",
    )
    .unwrap();
    evaluate_run(&run, "\"><svg onload=alert(2)>", 0.5, &folder.path().join("images"));
    let kept = folder.path().join("second");
    train(&kept, 0.0, 30);
    let html = page(&[run, kept], &options(), &cpu()).unwrap();
    for markup in ["<img src=x", "<svg onload", "<script>alert", "<i>", "<b>&"] {
        assert!(!html.contains(markup), "{markup}: {}", &html[html.find(markup).unwrap()..][..80]);
    }
    assert_eq!((html.matches("<script").count(), html.matches("</script").count()), (2, 2));
    assert_eq!(html.matches("<table").count(), html.matches("</table>").count());
    assert!(html.contains("onerror=alert(1)") && html.contains("onload=alert(2)"), "shown as text");
    // One of the two was not evaluated, and its command is there.
    assert!(html.contains("bcreid eval --run ") && html.contains("Some runs have no evaluation"));
}

#[test]
fn runs_without_an_evaluation_say_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(&folder.path().join("it's new"), 1.0, 30);
    let out = folder.path().join("report.html");
    let said = succeed(bcreid().arg("report").arg(&run).args(["--device", "cpu", "--out"]).arg(&out));
    assert!(said.starts_with(&format!("{}: ", out.display())) && said.trim_end().ends_with(" KiB"), "{said}");
    let html = std::fs::read_to_string(&out).unwrap();
    assert!(html.contains("No run on this page has an evaluation"));
    // Quoted for a shell, then for HTML.
    let command = between(&html, "<code>bcreid eval --run ", "</code>");
    let command = command.replace("&#39;", "'").replace("&#x27;", "'");
    assert!(command.starts_with('\'') && command.ends_with("/it'\\''s new' --data DIR"), "{command}");
    for id in ["cmc", "pairs", "lists"] {
        assert!(!html.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(!html.contains("<table class=\"metrics\">"));
}

#[test]
fn images_that_have_moved_or_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(&folder.path().join("run"), 1.0, 30);
    evaluate_run(&run, "made-up", 0.5, &folder.path().join("old/gallery"));
    std::fs::rename(folder.path().join("old"), folder.path().join("new")).unwrap();
    let gone = page(std::slice::from_ref(&run), &options(), &cpu()).unwrap();
    assert_eq!(gone.matches("class=\"unread\"").count(), 6 * 11);
    assert!(gone.contains("image cannot be read"));
    let moved = Options { images: Some(folder.path().join("new")), ..options() };
    let found = page(&[run], &moved, &cpu()).unwrap();
    assert!(found.matches("<img src=\"data:").count() >= 6 * 11 - 6);
}

#[test]
fn a_run_that_diverged_and_one_without_pairs() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("diverged");
    train(&run, 1.0, 2);
    let line = "{\"step\":2,\"loss\":null,\"softmax\":null,\"positive\":0,\"hinge\":0,\"center\":0,\"rate\":0.1,\"lambda\":1,\"intra\":null,\"inter\":null,\"inter_min\":null}\n";
    let first =
        "{\"step\":0,\"loss\":2.0,\"softmax\":1.0,\"intra\":null,\"inter\":null,\"inter_min\":null}\n";
    std::fs::write(run.join("metrics.jsonl"), format!("{first}{line}{{\"step\":3,\"lo")).unwrap();
    let html = page(&[run], &options(), &cpu()).unwrap();
    assert!(html.contains("no batch had a pair of one identity"));
    assert!(html.contains(">3 of 50000<"), "three steps of those planned");
}
