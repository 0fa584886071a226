//! The joints of a walking person and their projection onto the canvas.
//!
//! Body axes: X to the person's left, Y up from the ground, Z forward, all in body heights. With a yaw of 0 the person
//! faces the camera, so that the person's left is on the right of the canvas; the projection is orthographic.

use super::canvas::Spot;
use super::cloth::turn;
use super::colour::{Rgb, scale};
use super::draws::Draws;
use super::person::Person;
use std::f32::consts::{FRAC_PI_2, PI};

/// A point in body axes.
pub type Point = [f32; 3];

/// The pose of a person at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    /// Direction of the walk in radians: 0 towards the camera, pi / 2 to the right.
    pub yaw: f32,
    /// Phase of the double step in radians.
    pub phase: f32,
    /// Largest angle of the thigh.
    pub stride: f32,
    /// Largest angle of the arm.
    pub swing: f32,
}

impl Pose {
    /// The direction of a walk past a camera: towards, away, across or diagonally, with equal probabilities.
    pub fn passing(draws: &mut Draws) -> f32 {
        draws.pick(&[0.0, PI, FRAC_PI_2, -FRAC_PI_2, 0.7, -0.7, PI - 0.7, PI + 0.7])
    }

    /// A random moment of a walk in direction `yaw`.
    pub fn at_moment(yaw: f32, draws: &mut Draws) -> Self {
        Pose {
            yaw: draws.about(yaw, 0.4),
            phase: draws.between(0.0, 2.0 * PI),
            stride: draws.between(0.05, 0.5),
            swing: draws.between(0.05, 0.6),
        }
    }
}

/// The place of a person on the canvas.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Column of the body's axis, in pixels.
    pub x: f32,
    /// Row of the ground, in pixels.
    pub ground: f32,
    /// Pixels of a body height.
    pub unit: f32,
    /// Direction of the light: an angle, 0 behind the camera, positive to the right.
    pub light: f32,
}

/// The projection from body axes to the canvas, by place and yaw.
#[derive(Clone, Copy, Debug)]
pub struct View {
    place: Place,
    yaw: f32,
    sin: f32,
    cos: f32,
}

impl View {
    /// The view of a person at `place`, turned by `yaw`.
    pub fn new(place: Place, yaw: f32) -> Self {
        let (sin, cos) = yaw.sin_cos();
        View { place, yaw, sin, cos }
    }

    /// The projection of a point.
    pub fn spot(&self, p: Point) -> Spot {
        let across = p[0] * self.cos + p[2] * self.sin;
        (self.place.x + across * self.place.unit, self.place.ground - p[1] * self.place.unit)
    }

    /// The distance of a point in front of the body's axis, in body heights.
    pub fn nearness(&self, p: Point) -> f32 {
        p[2] * self.cos - p[0] * self.sin
    }

    /// Half the projected width, in pixels, of an upright body with these half-axes.
    pub fn half_width(&self, sideways: f32, deep: f32) -> f32 {
        (sideways * self.cos).hypot(deep * self.sin) * self.place.unit
    }

    /// A length in pixels.
    pub fn pixels(&self, length: f32) -> f32 {
        length * self.place.unit
    }

    /// The side that the person shows the camera: front (1), side (0) or back (-1).
    pub fn facing(&self) -> f32 {
        self.cos
    }

    /// A cylinder from one point to another.
    pub fn wrap(&self, from: Point, to: Point, radius_in_pixels: f32) -> Wrap {
        let (a, b) = (self.spot(from), self.spot(to));
        let (x, y) = (b.0 - a.0, b.1 - a.1);
        let length = x.hypot(y);
        // A limb that points at the camera has no direction on the canvas; downwards is as good as any.
        let axis = if length > 1e-3 { (x / length, y / length) } else { (0.0, 1.0) };
        Wrap { from: a, axis, radius: radius_in_pixels.max(0.5), view: *self }
    }
}

/// A cylinder for the shading of a body part.
#[derive(Clone, Copy, Debug)]
pub struct Wrap {
    from: Spot,
    axis: Spot,
    radius: f32,
    view: View,
}

impl Wrap {
    /// The colour of the pixel at (x, y). `cloth` gives the colour by the angle around the cylinder and the length
    /// along the cylinder in body heights; the side away from the light is darker.
    pub fn shade(&self, x: f32, y: f32, cloth: impl Fn(f32, f32) -> Rgb) -> Rgb {
        let (dx, dy) = (x - self.from.0, y - self.from.1);
        let across = (dx * self.axis.1 - dy * self.axis.0) / self.radius;
        let angle = across.clamp(-1.0, 1.0).asin();
        let along = (dx * self.axis.0 + dy * self.axis.1) / self.view.place.unit;
        let lit = 0.62 + 0.38 * (angle - self.view.place.light).cos();
        scale(cloth(turn(angle - self.view.yaw), along), lit)
    }
}

/// The joints of a person; of a pair, the person's right comes first.
pub struct Joints {
    pub hips: [Point; 2],
    pub knees: [Point; 2],
    pub ankles: [Point; 2],
    pub shoulders: [Point; 2],
    pub elbows: [Point; 2],
    pub wrists: [Point; 2],
}

impl Joints {
    /// Height of the shoulders, in body heights.
    pub const SHOULDER: f32 = 0.82;
    /// Height of the centre of the head, in body heights.
    pub const HEAD: f32 = 0.925;
    const ANKLE: f32 = 0.035;

    /// The joints of a person at a moment of the walk.
    pub fn new(person: &Person, pose: &Pose) -> Self {
        let shin = (person.hip - Self::ANKLE) * 0.5;
        let mut joints = Joints {
            hips: [[0.0; 3]; 2],
            knees: [[0.0; 3]; 2],
            ankles: [[0.0; 3]; 2],
            shoulders: [[0.0; 3]; 2],
            elbows: [[0.0; 3]; 2],
            wrists: [[0.0; 3]; 2],
        };
        for (i, side) in [-1.0, 1.0].into_iter().enumerate() {
            let thigh = side * pose.stride * pose.phase.sin();
            // The knee bends while the leg swings forward.
            let bend = pose.stride * 1.3 * (side * pose.phase.cos()).max(0.0);
            let arm = -side * pose.swing * pose.phase.sin();
            let forearm = arm + 0.25 + 0.3 * pose.swing;
            let hip = [side * 0.052 * person.build, person.hip, 0.0];
            let knee = swing(hip, thigh, shin, 0.0);
            let shoulder = [side * 0.112 * person.build, Self::SHOULDER - 0.02, 0.0];
            let elbow = swing(shoulder, arm, 0.16, side * 0.025);
            joints.hips[i] = hip;
            joints.knees[i] = knee;
            joints.ankles[i] = swing(knee, thigh - bend, shin, 0.0);
            joints.shoulders[i] = shoulder;
            joints.elbows[i] = elbow;
            joints.wrists[i] = swing(elbow, forearm, 0.15, -side * 0.005);
        }
        joints
    }

    /// The height of the lower ankle above that of a standing person, by which the figure is lowered.
    pub fn float(&self) -> f32 {
        self.ankles[0][1].min(self.ankles[1][1]) - Self::ANKLE
    }
}

/// The end of a bone that hangs from `from`, turned forward by `angle`.
fn swing(from: Point, angle: f32, length: f32, outwards: f32) -> Point {
    let (sin, cos) = angle.sin_cos();
    [from[0] + outwards, from[1] - length * cos, from[2] + length * sin]
}
