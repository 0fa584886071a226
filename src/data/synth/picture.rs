//! Drawing of one picture: scene, persons, occluders, camera, JPEG.

use super::body;
use super::camera::CAMERAS;
use super::canvas::Canvas;
use super::draws::{DrawOwner, Draws};
use super::person::Person;
use super::plan::{Subject, Task};
use super::pose::{Place, Pose};
use super::scene::{self, Scene};
use super::things::Thing;
use crate::{Error, Result};
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

/// Canvas pixels for each pixel of the picture, in both directions.
const SUPERSAMPLING: usize = 2;
/// JPEG quality, of 100: visible artefacts as in surveillance archives, with thin stripes preserved.
const JPEG_QUALITY: u8 = 88;
/// Probability that the background is the camera's own scene: a background that identified the camera would dominate
/// every comparison of whole pictures.
const OWN_SCENE: f32 = 0.3;
/// First pid of the passers-by, who are no identities of the set.
const PASSERS_BY: usize = 1_000_000;

/// Draws the picture of a task and returns its pixels, `[height, width, 3]`.
pub fn pixels(seed: u64, task: &Task, width: usize, height: usize) -> Vec<u8> {
    let camera = &CAMERAS[task.camera];
    let mut draws = Draws::new(seed, DrawOwner::Picture, task.number);
    let mut canvas = Canvas::new(width * SUPERSAMPLING, height * SUPERSAMPLING);
    let (w, h) = (canvas.width(), canvas.height());
    let place = if draws.chance(OWN_SCENE) { camera.scene } else { draws.pick(&Scene::ALL) };
    scene::draw(&mut canvas, place, &mut draws);
    // Some pictures show a passer-by in the background.
    if draws.chance(0.3) {
        let unit = h * draws.between(0.35, 0.55);
        let place = Place { x: w * draws.pick(&[0.08, 0.92]), ground: h * 0.8, unit, light: camera.light };
        draw_passer_by(&mut canvas, seed, place, &mut draws);
    }
    match task.subject {
        Subject::Person { pid } => {
            let place = Place {
                x: w * draws.about(0.5, 0.07),
                ground: h * draws.about(0.95, 0.035),
                unit: h * draws.between(0.82, 0.96),
                light: camera.light,
            };
            draw_identity(&mut canvas, seed, pid, task.camera, place, &mut draws);
            if draws.chance(camera.occlusion) {
                draw_occluder(&mut canvas, seed, camera.light, &mut draws);
            }
        }
        Subject::Junk { pid } => {
            // The box shows the legs only, head and shoulders only, or a body cut by its side.
            let unit = h * draws.between(1.0, 1.9);
            let (x, ground) = match draws.below(3) {
                0 => (w * draws.about(0.5, 0.2), h * draws.between(0.55, 0.75)),
                1 => (w * draws.about(0.5, 0.2), unit * draws.between(1.05, 1.2)),
                _ => (w * draws.pick(&[-0.1, 1.1]), h * draws.between(0.9, 1.2)),
            };
            let place = Place { x, ground, unit, light: camera.light };
            draw_identity(&mut canvas, seed, pid, task.camera, place, &mut draws);
        }
        Subject::Distractor => {
            for _ in 0..draws.below(3) {
                let at = (w * draws.between(0.1, 0.9), h * draws.between(0.75, 1.0));
                let tall = h * draws.between(0.5, 1.0);
                draws.pick(&Thing::DISTRACTORS).draw(&mut canvas, at, tall, &mut draws);
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

/// Draws a person of the set on the walk past a camera.
fn draw_identity(canvas: &mut Canvas, seed: u64, pid: usize, camera: usize, place: Place, draws: &mut Draws) {
    let person = Person::new(&mut Draws::new(seed, DrawOwner::Person, pid));
    let mut walk = Draws::new(seed, DrawOwner::Walk, pid * CAMERAS.len() + camera);
    let usual = Pose::passing(&mut walk);
    // In some pictures the person has turned away from the direction of the walk.
    let yaw = if draws.chance(0.2) { Pose::passing(draws) } else { usual };
    body::draw(canvas, &person, &Pose::at_moment(yaw, draws), place);
}

fn draw_passer_by(canvas: &mut Canvas, seed: u64, place: Place, draws: &mut Draws) {
    let person = Person::new(&mut Draws::new(seed, DrawOwner::Person, PASSERS_BY + draws.below(1000)));
    let yaw = Pose::passing(draws);
    body::draw(canvas, &person, &Pose::at_moment(yaw, draws), place);
}

fn draw_occluder(canvas: &mut Canvas, seed: u64, light: f32, draws: &mut Draws) {
    let (w, h) = (canvas.width(), canvas.height());
    if draws.chance(0.3) {
        let place = Place {
            x: w * draws.pick(&[-0.02, 1.02]),
            ground: h * draws.between(1.0, 1.1),
            unit: h * draws.between(0.95, 1.1),
            light,
        };
        draw_passer_by(canvas, seed, place, draws);
    } else {
        let at = (w * draws.between(0.1, 0.9), h * draws.between(0.98, 1.08));
        let tall = h * draws.between(0.6, 0.9);
        draws.pick(&Thing::OCCLUDERS).draw(canvas, at, tall, draws);
    }
}
