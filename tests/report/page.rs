//! The contents of the report page.

use crate::support::{bcreid, cpu, evaluate_run, jpeg, succeed, train};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcreid::eval::stored_evaluation;
use bcreid::report::page::{Options, page};
use bcreid::weights::Features;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

fn options() -> Options {
    Options {
        only: Vec::new(),
        queries: Some(2),
        seed: 1,
        images: Vec::new(),
        maps: false,
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
    let html = page(&runs, &options(), &cpu()).unwrap().html;
    assert_eq!(html, page(&runs, &options(), &cpu()).unwrap().html, "the same page twice");
    for id in ["runs", "results", "training", "figure1", "cmc", "pairs", "map", "lists", "settings"] {
        assert_eq!(html.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
    }
    assert!(html.contains("2024-11-19 07:06 UTC") && html.contains(env!("CARGO_PKG_VERSION")));
    // Six curves, two panels of figure 1, one CMC, two histograms, one ROC, two maps.
    assert_eq!(html.matches("<svg class=\"chart").count(), 14);
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
    let html = page(std::slice::from_ref(&run), &options(), &cpu()).unwrap().html;
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
    assert!(
        page(&[run], &options(), &cpu()).unwrap().html.contains("differs from that of the stored features")
    );
}

/// A page is sent on: it names files within their data set, and no folder above.
#[test]
fn no_folder_of_this_machine_is_named_and_every_image_has_words() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().canonicalize().unwrap();
    let runs = two_runs(&home);
    let third = train(&home.join("unevaluated"), 1.0, 20);
    for images in [home.join("images"), home.join("elsewhere")] {
        let all = [&runs[..], std::slice::from_ref(&third)].concat();
        let html = page(&all, &options(), &cpu()).unwrap().html;
        let near = html.find(&*home.display().to_string()).map(|at| &html[at.saturating_sub(80)..][..200]);
        assert_eq!(near, None);
        assert!(html.contains("bcreid eval --run unevaluated --data DIR"));
        if images.is_dir() {
            assert!(html.contains("<bdi>query/0"), "paths within the data set");
            assert!(html.contains("Folders: images."));
            let words: Vec<&str> =
                html.split(" alt=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
            assert!(
                words.len() > 100 && words.iter().all(|alt| alt.contains("camera ")),
                "{:?}",
                &words[..3]
            );
            assert!(words.iter().any(|alt| alt.starts_with("query: person ")));
            assert!(words.iter().any(|alt| alt.starts_with("rank 1: ")));
            std::fs::rename(&images, home.join("gone")).unwrap();
        }
    }
}

#[test]
fn the_legend_of_the_lists_names_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(&folder.path().join("run"), 1.0, 30);
    let mut kept = evaluate_run(&run, "made-up", 0.5, &folder.path().join("images"));
    let all = Options { queries: Some(12), ..options() };
    let html = page(std::slice::from_ref(&run), &all, &cpu()).unwrap().html;
    let legend = between(&html, "The nearest 10 gallery images", "</p>");
    for words in ["under another camera", "pid 0 is a distractor", "own camera", "junk"] {
        assert!(legend.contains(words), "{words}: {legend}");
    }
    let (n, dim) = (kept.gallery.len() as i64, kept.gallery.dim());
    let pids = (0..n).map(|row| 1 + row % 10).collect();
    let (values, paths) = (kept.gallery.features().to_vec(), kept.gallery.paths().to_vec());
    kept.gallery = Features::new(values, dim, pids, vec![9; n as usize], paths).unwrap();
    kept.write(&run).unwrap();
    let html = page(&[run], &all, &cpu()).unwrap().html;
    let legend = between(&html, "The nearest 10 gallery images", "</p>");
    for words in ["distractor", "own camera", "junk"] {
        assert!(!legend.contains(words), "{words}: {legend}");
    }
}

#[test]
fn several_data_sets_have_a_summary() {
    let folder = tempfile::tempdir().unwrap();
    let runs = two_runs(folder.path());
    assert!(!page(&runs, &options(), &cpu()).unwrap().html.contains("id=\"summary\""));
    let other = evaluate_run(&runs[1], "other", 0.5, &folder.path().join("images"));
    let html = page(&runs, &options(), &cpu()).unwrap().html;
    let table = between(&html, "<table id=\"summary\">", "</table>");
    let rows: Vec<&str> = table.split("<tbody>").nth(1).unwrap().matches("<tr>").collect();
    assert_eq!(rows.len(), 2, "{table}");
    let [baseline, full] =
        ["baseline", "full"].map(|name| between(table, &format!("<bdi>{name}</bdi>"), "</tr>"));
    assert!(baseline.contains("not evaluated") && !full.contains("not evaluated"), "{table}");
    for share in [other.report.rank1, other.report.map_market] {
        assert!(full.contains(&format!("<td class=\"number\">{:.2}</td>", 100.0 * share)), "{table}");
    }
}

#[test]
fn nothing_is_loaded_and_no_other_script_may_run() {
    let folder = tempfile::tempdir().unwrap();
    let html = page(&two_runs(folder.path()), &options(), &cpu()).unwrap().html;
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
    let html = page(&[run, kept], &options(), &cpu()).unwrap().html;
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
    let command = command.replace("&#39;", "'").replace("&#x27;", "'").replace("&quot;", "\"");
    assert_eq!(command, "\"it's new\" --data DIR");
    for id in ["cmc", "pairs", "map", "lists"] {
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
    let gone = page(std::slice::from_ref(&run), &options(), &cpu()).unwrap().html;
    assert_eq!(gone.matches("class=\"unread\"").count(), 6 * 11);
    assert!(gone.contains("image cannot be read"));
    let moved = Options { images: vec![folder.path().join("new")], ..options() };
    let found = page(&[run], &moved, &cpu()).unwrap().html;
    assert!(found.matches("<img src=\"data:").count() >= 6 * 11 - 6);
}

/// A stranger's evaluation names a private photograph for every image, and the folder above it as its folder.
#[cfg(unix)]
#[test]
fn images_outside_of_the_data_set_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let run = train(&folder.join("run"), 1.0, 30);
    let mut kept = evaluate_run(&run, "made-up", 0.5, &folder.join("set"));
    let private = folder.join("photos/me.jpg");
    std::fs::create_dir(folder.join("photos")).unwrap();
    jpeg(&private, 200);
    // A link inside a data set that came with the run, and a way out of one.
    std::os::unix::fs::symlink(&private, folder.join("set/query/link.jpg")).unwrap();
    let ways = [
        private.clone(),
        folder.join("set/query/link.jpg"),
        folder.join("set/query/../../photos/me.jpg"),
        folder.join("absent.jpg"),
    ];
    let with_paths = |features: &Features, path: &Path| {
        let (pids, camids) = (features.pids().to_vec(), features.camids().to_vec());
        let paths = vec![path.display().to_string(); pids.len()];
        Features::new(features.features().to_vec(), features.dim(), pids, camids, paths).unwrap()
    };
    for way in ways {
        kept.query = with_paths(&kept.query, &way);
        kept.gallery = with_paths(&kept.gallery, &way);
        kept.images.extend([
            "/".into(),
            folder.display().to_string(),
            folder.join("photos").display().to_string(),
        ]);
        for folder in stored_evaluation::folders(&run).unwrap() {
            std::fs::remove_dir_all(folder).unwrap();
        }
        kept.write(&run).unwrap();
        let report = page(std::slice::from_ref(&run), &options(), &cpu()).unwrap();
        assert_eq!(report.html.matches("<img src=\"data:").count(), 0, "{}", way.display());
        assert!(report.notes[0].starts_with("1 image left out"), "{:?}", report.notes);
        let out = folder.join("r.html");
        let mut command = bcreid();
        command
            .args(["report", "--force", "--device", "cpu", "--queries", "2"])
            .arg(&run)
            .arg("--out")
            .arg(&out);
        let output = command.output().unwrap();
        assert!(output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("1 image left out") && !said.contains("shown from"), "{said}");
        let mut command = bcreid();
        command.args(["tensorboard", "--device", "cpu", "--out"]).arg(folder.join("events")).arg(&run);
        let said = String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned();
        assert!(said.contains("1 image left out") && said.contains("no ranked lists"), "{said}");
    }
    // Only the user can name the folder.
    kept.query = with_paths(&kept.query, &private);
    kept.write(&run).unwrap();
    let named = Options { images: vec![folder.join("photos")], ..options() };
    let report = page(&[run], &named, &cpu()).unwrap();
    assert!(report.html.contains("<img src=\"data:"));
    let photos = folder.join("photos").display().to_string();
    assert!(report.notes.contains(&format!("Images are shown from {photos} (1).")), "{:?}", report.notes);
    assert!(report.html.contains("Images are shown from photos (1)."));
    assert!(
        !report.html.contains(&folder.display().to_string()),
        "the page names no folder above a data set"
    );
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
    let html = page(&[run], &options(), &cpu()).unwrap().html;
    assert!(html.contains("no batch had a pair of one identity"));
    assert!(html.contains(">3 of 50000 (diverged)<"), "three steps of those planned");
}
