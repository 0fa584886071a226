//! Figure files: valid, not empty, and equal when written twice.

use crate::support::{bcreid, evaluate_run, succeed, train};
use bcreid::config::Config;
use bcreid::report::charts::{curves, figure1};
use bcreid::report::figure::{Mark, Scale};
use bcreid::report::{draw, run};
use resvg::usvg::{Options, Tree};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

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
    assert_eq!(figure.panels[1].title, "(b) full: with batch-contrastive loss (sum), \u{3bb} = 1");
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
        "full: with batch-contrastive loss (sum), \u{3bb} = 1"
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
    let settings = Config::resolve_text("", &["loss.reduction=mean".into()]).unwrap().to_toml();
    std::fs::write(folder.path().join("full/config.toml"), settings).unwrap();
    let runs = run::read_all(&[folder.path().join("baseline"), folder.path().join("full")]).unwrap();
    let caption = curves::figure(&runs).caption;
    assert!(
        caption.contains("are sums over the batch in baseline, means over the batch in full."),
        "{caption}"
    );
    assert!(figure1::figure(&runs).unwrap().panels[1].title.contains("loss (mean)"));
}

#[test]
fn every_figure_as_svg_and_as_png() {
    let folder = tempfile::tempdir().unwrap();
    let runs = two_runs(folder.path(), 60);
    for run in &runs {
        evaluate_run(run, "made-up", 0.4, &folder.path().join("images"));
    }
    for figure in ["figure1", "curves", "cmc", "distances", "roc"] {
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
