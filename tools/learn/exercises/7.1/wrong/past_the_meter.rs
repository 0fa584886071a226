// Expect: all of them go through the meter
use crate::layer::Layer;
use crate::meter::Meter;

pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    m.moved(1_000_000);
    y.iter_mut().zip(layer.definition(x, w)).for_each(|(to, y)| *to = y as f32);
}
