// Expect: all of them go through the meter
use crate::layer::Layer;
use crate::meter::{Meter, Off};

pub fn run<M: Meter>(_: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    crate::winograd::run(&mut Off, layer, x, w, y);
}
