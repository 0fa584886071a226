use crate::answer::Network;
use crate::checks::*;

/// Points of each spiral.
const POINTS: usize = 200;

/// Spirals of one and a half turns with some noise: points by rows, and the class of each.
fn spirals(classes: usize, seed: u64) -> (Vec<f32>, Vec<i32>) {
    let mut numbers = Numbers::new(seed);
    let (mut points, mut labels) = (Vec::new(), Vec::new());
    for class in 0..classes {
        for _ in 0..POINTS {
            let t = 0.55 + 0.45 * numbers.uniform();
            let turn = 2.0 * std::f64::consts::PI * class as f64 / classes as f64;
            let angle = 3.0 * std::f64::consts::PI * t + turn;
            points.push((t * angle.cos() + 0.02 * numbers.uniform()) as f32);
            points.push((t * angle.sin() + 0.02 * numbers.uniform()) as f32);
            labels.push(class as i32);
        }
    }
    (points, labels)
}

fn accuracy(classes: usize) -> Finding {
    let (points, labels) = spirals(classes, 1);
    let mut network = Network::train(&points, &labels, classes).map_err(|error| error.to_string())?;
    let (points, labels) = spirals(classes, 2);
    let found = network.classes(&points).map_err(|error| error.to_string())?;
    that(found.len() == labels.len(), || {
        format!("{} classes for {} points: a point has a score for each class", found.len(), labels.len())
    })?;
    that(classes == 2 || found.iter().any(|class| *class > 1), || {
        "only the classes 0 and 1 are found: all labels count in the training, the last layer has a score for each \
         class, and the largest of all wins".into()
    })?;
    let right = found.iter().zip(&labels).filter(|(found, label)| found == label).count();
    that(100 * right >= 95 * labels.len(), || {
        format!(
            "{right} of {} new points are right, 95 % are asked for: is there a ReLU between the layers, and are \
             there enough \
             steps?",
            labels.len()
        )
    })
}

pub fn grade(checks: &mut Checks) {
    checks.check("three spirals", || accuracy(3));
}
