//! Figure files: valid, not empty, and equal when written twice.

use crate::support::{bcreid, cpu, evaluate_run, fail, succeed, train};
use bcreid::config::Config;
use bcreid::eval::pairs::Pairs;
use bcreid::report::charts::cmc::Evaluated;
use bcreid::report::charts::pairs::Counted;
use bcreid::report::charts::{self, curves, figure1};
use bcreid::report::figure::{Mark, Panel, Scale};
use bcreid::report::{draw, evaluations, run};
use resvg::usvg::{Options, Tree};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn two_runs(folder: &Path, steps: u64) -> Vec<PathBuf> {
    vec![train(&folder.join("baseline"), 0.0, steps), train(&folder.join("full"), 1.0, steps)]
}

fn parse(svg: &str) -> Tree {
    Tree::from_str(svg, &Options::default()).unwrap()
}

#[test]
fn figure_1_draws_steps_with_a_pair_on_one_axis() {
    let folder = tempfile::tempdir().unwrap();
    let runs = run::read_all(&two_runs(folder.path(), 300)).unwrap();
    let figure = figure1::figure(&runs).unwrap();
    assert_eq!(figure.panels.len(), 2);
    assert_eq!(figure.panels[0].y, figure.panels[1].y);
    assert_eq!(figure.panels[0].title, "(a) baseline: softmax loss alone");
    assert_eq!(figure.panels[1].title, "(b) full: batch-contrastive loss, \u{3bb} = 1 (sum)");
    for (panel, run) in figure.panels.iter().zip(&runs) {
        for (series, value) in panel.series.iter().zip([
            |s: &bcreid::run::metrics::StepMetrics| s.inter,
            |s: &bcreid::run::metrics::StepMetrics| s.inter_min,
            |s: &bcreid::run::metrics::StepMetrics| s.intra,
        ]) {
            assert_eq!(series.mark, Mark::Dots);
            let with_pair = run.steps.iter().filter(|s| s.intra.is_some());
            let expected: Vec<(f64, f64)> =
                with_pair.map(|s| (s.step as f64, f64::from(value(s).unwrap()))).collect();
            assert_eq!(series.points, expected);
        }
    }
    assert!(figure.caption.contains("baseline: 200 of 300 steps"), "{}", figure.caption);
    assert_eq!(
        figure1::figure(&runs[1..]).unwrap().panels[0].title,
        "full: batch-contrastive loss, \u{3bb} = 1 (sum)"
    );
}

#[test]
fn fifty_thousand_steps_make_a_small_figure_and_the_same_one_twice() {
    let folder = tempfile::tempdir().unwrap();
    let runs = run::read_all(&two_runs(folder.path(), 50_000)).unwrap();
    let figure = figure1::figure(&runs).unwrap();
    let kept = &figure.panels[0].series[0].points;
    assert!(kept.len() <= figure1::MOST && kept.len() > figure1::MOST / 2, "{}", kept.len());
    // 33,333 steps with a pair, so one in 56: step 1, then the 57th of them, ...
    assert_eq!((kept[0].0, kept[1].0), (1.0, 85.0));
    assert!(figure.caption.contains("one in 56 is drawn"), "{}", figure.caption);
    let svg = draw::sheet(&figure).unwrap();
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
    assert_eq!(svg, draw::sheet(&figure1::figure(&runs).unwrap()).unwrap());
    let curves = draw::sheet(&curves::figure(&runs)).unwrap();
    assert!(curves.len() < 300_000, "{} bytes", curves.len());
    parse(&svg);
    parse(&curves);
}

#[test]
fn curves_have_a_line_for_every_run_and_hide_no_spike() {
    let folder = tempfile::tempdir().unwrap();
    let mut runs = run::read_all(&two_runs(folder.path(), 3000)).unwrap();
    runs[0].steps[1234].loss = Some(99.0);
    let figure = curves::figure(&runs);
    // Lambda never changes: words, not a panel.
    assert_eq!(figure.panels.len(), 6);
    assert!(figure.caption.contains("0 (baseline), 1 (full)"), "{}", figure.caption);
    assert!(figure.caption.contains("running mean over 31 steps"), "{}", figure.caption);
    assert!(
        figure.caption.contains("Batch and center losses are sums over the batch."),
        "{}",
        figure.caption
    );
    let total = &figure.panels[0];
    let faint: Vec<_> = total.series.iter().filter(|s| s.mark == Mark::Faint).collect();
    assert_eq!((faint.len(), total.series.len()), (2, 4));
    assert!(faint[0].points.contains(&(1234.0, 99.0)) && total.y.to >= 99.0);
    let rate = figure.panels.last().unwrap();
    assert_eq!(rate.y.scale, Scale::Log);
    assert_eq!(rate.series[0].points.iter().map(|p| p.0).collect::<Vec<_>>(), [0.0, 1499.0, 1500.0, 2999.0]);
    runs[1].steps[5].lambda = Some(0.5);
    assert_eq!(curves::figure(&runs).panels.len(), 7);
    let settings =
        Config::resolve_text("", &["loss.batch_contrastive.reduction=mean".into()]).unwrap().to_toml();
    std::fs::write(folder.path().join("full/config.toml"), settings).unwrap();
    let runs = run::read_all(&[folder.path().join("baseline"), folder.path().join("full")]).unwrap();
    let caption = curves::figure(&runs).caption;
    assert!(
        caption.contains("are sums over the batch in baseline, means over the batch in full."),
        "{caption}"
    );
    assert!(figure1::figure(&runs).unwrap().panels[1].title.contains("(mean)"));
}

/// A run whose loss grows without bound and then is no number.
fn diverge(run: &Path) {
    let metrics = run.join("metrics.jsonl");
    let lines = std::fs::read_to_string(&metrics).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    let mut text = lines[..20].join("\n");
    for step in 20..26 {
        let loss = 10f64.powi(4 * (step - 19));
        text += &format!(
            "\n{{\"step\":{step},\"loss\":{loss:e},\"softmax\":{loss:e},\"intra\":0.1,\"inter\":9e9}}"
        );
    }
    std::fs::write(&metrics, text + "\n{\"step\":26,\"loss\":null}\n").unwrap();
}

#[test]
fn a_diverged_run_is_marked_and_does_not_flatten_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let folders = two_runs(folder.path(), 300);
    diverge(&folders[1]);
    let runs = run::read_all(&folders).unwrap();
    let figure = curves::figure(&runs);
    assert_eq!(figure.legend[1].name, "full (diverged)");
    assert_eq!(figure.legend[2].mark, Mark::Cross);
    assert!(figure.caption.contains("full from step 20 on (its last is step 26)"), "{}", figure.caption);
    assert!(figure.panels[0].y.to < 10.0, "{:?}", figure.panels[0].y);
    let cross: Vec<_> = figure.panels[0].series.iter().filter(|s| s.mark == Mark::Cross).collect();
    assert_eq!((cross.len(), cross[0].points[0].0), (1, 20.0));
    let first = figure1::figure(&runs).unwrap();
    assert!(first.panels[0].y.to < 2.0 && first.panels[0].y == first.panels[1].y);
    assert!(first.panels[1].title.starts_with("(b) full (diverged): "), "{}", first.panels[1].title);
    assert!(first.caption.contains("of 20 steps"), "{}", first.caption);
    // Numbers of a diverged run alone fit beside its axis.
    let svg = draw::sheet(&curves::figure(&runs[1..])).unwrap();
    parse(&svg);
    assert!(!svg.contains("0000000k<"), "{svg}");
}

#[test]
fn captions_say_only_what_applies() {
    let folder = tempfile::tempdir().unwrap();
    let folders = two_runs(folder.path(), 60);
    let runs = run::read_all(&folders).unwrap();
    let both = curves::figure(&runs).caption;
    assert!(both.contains("Where runs agree") && both.contains("is 0, batch and center"), "{both}");
    assert!(!both.contains("diverge") && !both.contains("running mean"), "{both}");
    let alone = curves::figure(&runs[1..]).caption;
    assert!(!alone.contains("Where runs agree") && !alone.contains("is 0, batch"), "{alone}");
    assert!(alone.contains("\u{3bb} was the same in all steps: 1."), "{alone}");
    let long = folder.path().join("long");
    train(&long, 1.0, 190);
    let caption = curves::figure(&run::read_all(&[long]).unwrap()).caption;
    assert!(!caption.contains("every 1 steps"), "{caption}");
}

#[test]
fn panels_of_one_quantity_have_one_scale_and_ranks_begin_at_1() {
    let folder = tempfile::tempdir().unwrap();
    let folders = two_runs(folder.path(), 10);
    let stored: Vec<_> = folders
        .iter()
        .zip([0.2, 0.9])
        .map(|(run, noise)| evaluate_run(run, "made-up", noise, &folder.path().join("images")))
        .collect();
    let runs = run::read_all(&folders).unwrap();
    let all = evaluations::read_all(&runs, &[]).unwrap();
    let pairs: Vec<Pairs> = stored
        .iter()
        .map(|of| Pairs::count(&of.query, &of.gallery, &of.report.protocol, &cpu()).unwrap())
        .collect();
    let counted: Vec<_> = all.iter().zip(&pairs).map(|(of, pairs)| Counted::new(of, pairs)).collect();
    let figure = charts::pairs::histograms(&runs, &counted);
    assert_eq!(figure.panels.len(), 2);
    assert_eq!((&figure.panels[0].x, &figure.panels[0].y), (&figure.panels[1].x, &figure.panels[1].y));
    assert!(
        !figure.caption.contains("re-ranking") && figure.caption.contains("own camera"),
        "{}",
        figure.caption
    );
    let highest =
        |panel: &Panel| panel.series.iter().flat_map(|s| &s.points).map(|p| p.1).fold(0.0, f64::max);
    let (a, b) = (highest(&figure.panels[0]), highest(&figure.panels[1]));
    assert!(a != b && figure.panels[0].y.to >= a.max(b));

    let sets = Evaluated::by_set(&all.iter().collect::<Vec<_>>());
    let cmc = charts::cmc::figure(&runs, &sets);
    assert_eq!(cmc.panels[0].x.ticks[0], 1.0);
    let svg = draw::sheet(&cmc).unwrap();
    assert!(svg.contains(">1</text>"), "a tick at rank 1: {svg}");
    // One panel takes the whole width.
    let width = |svg: &str| parse(svg).size().width();
    assert!(width(&svg) < 700.0 && width(&draw::sheet(&figure).unwrap()) > 800.0);
    assert!(svg.contains("L639.9 "), "the grid reaches the right inset of a panel of 640: {svg}");
}

#[test]
fn a_map_has_one_scale_and_a_colour_for_each_of_eight_persons() {
    let folder = tempfile::tempdir().unwrap();
    let folders = two_runs(folder.path(), 10);
    for (run, noise) in folders.iter().zip([0.2, 0.9]) {
        evaluate_run(run, "made-up", noise, &folder.path().join("images"));
    }
    let runs = run::read_all(&folders).unwrap();
    let all = evaluations::read_all(&runs, &[]).unwrap();
    let figure = charts::map::figure(&runs, &all.iter().collect::<Vec<_>>());
    assert_eq!(figure.panels.len(), 2);
    let span = |panel: &Panel| (panel.x.to - panel.x.from, panel.y.to - panel.y.from);
    assert_eq!(span(&figure.panels[0]), span(&figure.panels[1]));
    // A unit is as long in both directions.
    let [width, height] = draw::plot_area(2);
    let (x, y) = span(&figure.panels[0]);
    assert!((x / width - y / height).abs() < 1e-9, "{x} {y}");
    // 12 queries and 60 gallery images, 5 of them junk.
    let drawn: usize = figure.panels[0].series.iter().map(|series| series.points.len()).sum();
    assert_eq!(drawn, 12 + 55);
    let coloured = figure.panels[0].series.iter().filter(|series| series.mark == Mark::Points);
    assert_eq!(coloured.clone().count(), 8);
    // The persons 1 and 2 have two queries and five gallery images.
    assert!(coloured.clone().all(|series| (6..=7).contains(&series.points.len())));
    assert_eq!((figure.legend.len(), figure.legend[0].name.as_str()), (9, "person 1"));
    // Persons are clusters where there is little noise.
    let spread = |points: &[(f64, f64)]| {
        let n = points.len() as f64;
        let (x, y) =
            (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
        points.iter().map(|p| ((p.0 - x).powi(2) + (p.1 - y).powi(2)).sqrt()).sum::<f64>() / n
    };
    let own = coloured.clone().map(|series| spread(&series.points)).fold(0.0, f64::max);
    let of_all: Vec<(f64, f64)> = coloured.flat_map(|series| series.points.clone()).collect();
    assert!(1.3 * own < spread(&of_all), "{own} and {}", spread(&of_all));
}

#[test]
fn names_that_differ_at_their_end_stay_different_in_titles() {
    let folder = tempfile::tempdir().unwrap();
    let long = "a-campaign-with-a-name-that-is-much-too-long-for-a-heading-of-a-panel-and-a-legend";
    let folders: Vec<PathBuf> = ["tau-0.3", "tau-0.5"]
        .iter()
        .map(|end| train(&folder.path().join(format!("{long}-{end}")), 1.0, 20))
        .collect();
    let runs = run::read_all(&folders).unwrap();
    for svg in
        [draw::sheet(&curves::figure(&runs)).unwrap(), draw::sheet(&figure1::figure(&runs).unwrap()).unwrap()]
    {
        let texts: Vec<&str> = svg.split("<text").filter(|text| text.contains('…')).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert_ne!(texts[0].split('>').nth(1), texts[1].split('>').nth(1));
    }
}

#[test]
fn every_figure_as_svg_and_as_png() {
    let folder = tempfile::tempdir().unwrap();
    let runs = two_runs(folder.path(), 60);
    for run in &runs {
        evaluate_run(run, "made-up", 0.4, &folder.path().join("images"));
    }
    for figure in ["figure1", "curves", "cmc", "distances", "roc", "map"] {
        let file = |end: &str| folder.path().join(format!("{figure}.{end}"));
        for end in ["svg", "png"] {
            let out = file(end);
            let said = succeed(
                bcreid().args(["plot", figure]).args(&runs).args(["--device", "cpu", "--out"]).arg(&out),
            );
            assert!(said.starts_with(&format!("{}: ", out.display())) && said.lines().count() == 1, "{said}");
        }
        let svg = std::fs::read_to_string(file("svg")).unwrap();
        assert!(
            svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.matches("://").count() == 1
        );
        let size = parse(&svg).size();
        let png = image::open(file("png")).unwrap().into_rgb8();
        assert_eq!(
            (png.width() as f32, png.height() as f32),
            (2.0 * size.width(), 2.0 * size.height()),
            "{figure}"
        );
        let colours: HashSet<_> = png.pixels().collect();
        assert!(colours.len() > 50, "{figure}: {} colours", colours.len());
        // The words of the heading, in a font that comes with the program.
        let heading = image::imageops::crop_imm(&png, 0, 0, png.width() / 2, 90).to_image();
        let ink = heading.pixels().filter(|p| p.0.iter().all(|&c| c < 90)).count();
        assert!(ink > 300, "{figure}: {ink} dark pixels in the heading");
    }
}

#[test]
fn names_that_are_no_xml() {
    let folder = tempfile::tempdir().unwrap();
    let run = train(&folder.path().join("<b>&\"'\u{1}\u{7f}"), 1.0, 20);
    for figure in ["figure1", "curves"] {
        let out = folder.path().join("f.svg");
        succeed(bcreid().args(["plot", figure]).arg(&run).arg("--force").arg("--out").arg(&out));
        let svg = std::fs::read_to_string(&out).unwrap();
        parse(&svg);
        assert!(
            svg.contains("&lt;b&gt;&amp;&quot;&#39;\u{fffd}\u{fffd}") && !svg.contains("<b>"),
            "{figure}"
        );
    }
}

#[test]
fn a_map_by_t_sne_is_the_same_on_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let runs = two_runs(folder.path(), 10);
    for run in &runs {
        evaluate_run(run, "made-up", 0.2, &folder.path().join("images"));
    }
    let plot = |out: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
        command.args(["plot", "map"]).args(&runs).args(more).arg("--out").arg(folder.path().join(out));
        command
    };
    let tsne = ["--method", "tsne", "--perplexity", "8"];
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for (name, threads) in [("a.svg", "1"), ("b.svg", "1"), ("c.svg", "3")] {
        succeed(plot(name, &tsne).args(["--threads", threads]));
        assert_eq!(read(name), read("a.svg"), "{threads} threads");
    }
    parse(&read("a.svg"));
    assert!(read("a.svg").contains("t-SNE 1") && read("a.svg").contains("perplexity 8"));
    succeed(&mut plot("pca.svg", &["--method", "pca"]));
    succeed(&mut plot("none.svg", &[]));
    assert_eq!(read("pca.svg"), read("none.svg"));
    assert_ne!(read("pca.svg"), read("a.svg"));
    let error = fail(&mut plot("d.svg", &["--method", "tsne"]));
    assert!(error.contains("needs 91 images or more, and here are 67; give at most 22"), "{error}");
    assert!(fail(&mut plot("d.svg", &["--perplexity", "5"])).contains("add --method tsne"));
    for perplexity in ["0", "-3", "nan", "1e300"] {
        let asked = format!("--perplexity={perplexity}");
        let error = fail(&mut plot("d.svg", &["--method", "tsne", &asked]));
        assert!(error.contains("a perplexity of"), "{error}");
    }
    let mut curves = bcreid();
    curves
        .args(["plot", "curves", "--method", "tsne"])
        .args(&runs)
        .arg("--out")
        .arg(folder.path().join("d.svg"));
    assert!(fail(&mut curves).contains("--method: only a map has one"));
    assert!(!folder.path().join("d.svg").exists());
}
