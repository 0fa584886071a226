//! One picture from its plan: scene, people, things in the way, camera, JPEG.

use super::body;
use super::camera::CAMERAS;
use super::canvas::Canvas;
use super::draws::{Draws, Of};
use super::person::Person;
use super::plan::{Subject, Task};
use super::pose::{Place, Pose};
use super::scene::{self, Scene};
use super::things::Thing;
use crate::{Error, Result};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

/// Canvas pixels for each pixel of the picture, both ways.
const SUPERSAMPLING: usize = 2;
/// Of 100: the artefacts of a surveillance camera's archive, without losing stripes.
const JPEG_QUALITY: u8 = 88;
/// How often the place behind somebody is the camera's own: neighbouring cameras share most of what they see, and
/// a background that named the camera would decide every comparison of whole pictures.
const OWN_SCENE: f32 = 0.3;
/// Pids from here on belong to passers-by, who have no number of their own.
const PASSERS_BY: usize = 1_000_000;

/// Draws the picture of a task and returns its pixels, `[height, width, 3]`.
pub fn pixels(seed: u64, task: &Task, width: usize, height: usize) -> Vec<u8> {
    let camera = &CAMERAS[task.camera];
    let mut draws = Draws::new(seed, Of::Picture, task.number);
    let mut canvas = Canvas::new(width * SUPERSAMPLING, height * SUPERSAMPLING);
    let (w, h) = (canvas.width(), canvas.height());
    let place = if draws.chance(OWN_SCENE) { camera.scene } else { draws.pick(&Scene::ALL) };
    scene::draw(&mut canvas, place, &mut draws);
    // Somebody far behind.
    if draws.chance(0.3) {
        let unit = h * draws.between(0.35, 0.55);
        let place = Place { x: w * draws.pick(&[0.08, 0.92]), ground: h * 0.8, unit, light: camera.light };
        passer_by(&mut canvas, seed, place, &mut draws);
    }
    match task.subject {
        Subject::Person { pid } => {
            let place = Place {
                x: w * draws.about(0.5, 0.07),
                ground: h * draws.about(0.95, 0.035),
                unit: h * draws.between(0.82, 0.96),
                light: camera.light,
            };
            identity(&mut canvas, seed, pid, task.camera, place, &mut draws);
            if draws.chance(camera.occlusion) {
                occlude(&mut canvas, seed, camera.light, &mut draws);
            }
        }
        Subject::BadBox { pid } => {
            // Legs only, head and shoulders only, or a body cut by the box's side.
            let unit = h * draws.between(1.0, 1.9);
            let (x, ground) = match draws.below(3) {
                0 => (w * draws.about(0.5, 0.2), h * draws.between(0.55, 0.75)),
                1 => (w * draws.about(0.5, 0.2), unit * draws.between(1.05, 1.2)),
                _ => (w * draws.pick(&[-0.1, 1.1]), h * draws.between(0.9, 1.2)),
            };
            let place = Place { x, ground, unit, light: camera.light };
            identity(&mut canvas, seed, pid, task.camera, place, &mut draws);
        }
        Subject::Nobody => {
            for _ in 0..draws.below(3) {
                let at = (w * draws.between(0.1, 0.9), h * draws.between(0.75, 1.0));
                let tall = h * draws.between(0.5, 1.0);
                draws.pick(&Thing::ALONE).draw(&mut canvas, at, tall, &mut draws);
            }
        }
    }
    let scene = canvas.shrink(SUPERSAMPLING);
    camera.develop(&scene, width, seed, task.number, &mut draws)
}

/// The picture of a task as a JPEG file's bytes.
pub fn jpeg(seed: u64, task: &Task, width: usize, height: usize) -> Result<Vec<u8>> {
    let pixels = pixels(seed, task, width, height);
    let mut bytes = Vec::with_capacity(8 * 1024);
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode(&pixels, width as u32, height as u32, ExtendedColorType::Rgb8)
        .map_err(|e| Error::image(&task.name, format!("cannot be encoded as JPEG: {e}")))?;
    Ok(bytes)
}

/// A numbered person, who passes one camera in one direction.
fn identity(canvas: &mut Canvas, seed: u64, pid: usize, camera: usize, place: Place, draws: &mut Draws) {
    let person = Person::new(&mut Draws::new(seed, Of::Person, pid));
    let mut walk = Draws::new(seed, Of::Walk, pid * CAMERAS.len() + camera);
    let usual = Pose::passing(&mut walk);
    // Now and then somebody turns round while the camera looks on.
    let yaw = if draws.chance(0.2) { Pose::passing(draws) } else { usual };
    body::draw(canvas, &person, &Pose::at_moment(yaw, draws), place);
}

fn passer_by(canvas: &mut Canvas, seed: u64, place: Place, draws: &mut Draws) {
    let person = Person::new(&mut Draws::new(seed, Of::Person, PASSERS_BY + draws.below(1000)));
    let yaw = Pose::passing(draws);
    body::draw(canvas, &person, &Pose::at_moment(yaw, draws), place);
}

fn occlude(canvas: &mut Canvas, seed: u64, light: f32, draws: &mut Draws) {
    let (w, h) = (canvas.width(), canvas.height());
    if draws.chance(0.3) {
        let place = Place {
            x: w * draws.pick(&[-0.02, 1.02]),
            ground: h * draws.between(1.0, 1.1),
            unit: h * draws.between(0.95, 1.1),
            light,
        };
        passer_by(canvas, seed, place, draws);
    } else {
        let at = (w * draws.between(0.1, 0.9), h * draws.between(0.98, 1.08));
        let tall = h * draws.between(0.6, 0.9);
        draws.pick(&Thing::IN_FRONT).draw(canvas, at, tall, draws);
    }
}
