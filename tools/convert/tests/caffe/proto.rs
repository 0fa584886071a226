//! Protobuf's wire format, written.

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub fn integer(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

pub fn real(number: u64, value: f32) -> Vec<u8> {
    [varint(number << 3 | 5), value.to_le_bytes().to_vec()].concat()
}

pub fn data(number: u64, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [varint(number << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

pub fn packed(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// BlobProto of any dims and values, fitting or not.
pub fn blob(dims: &[i64], values: &[f32]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&dim| varint(dim as u64)).collect();
    [data(7, data(1, dims)), data(5, packed(values))].concat()
}

/// A blob of the right number of small values.
pub fn ramp(dims: &[i64]) -> Vec<u8> {
    let count = dims.iter().product::<i64>();
    blob(dims, &(1..=count).map(|i| i as f32).collect::<Vec<_>>())
}

/// LayerParameter as a field of a net.
pub fn layer(name: &str, kind: &str, blobs: &[Vec<u8>], settings: &[u8]) -> Vec<u8> {
    let blobs = blobs.iter().flat_map(|blob| data(7, blob));
    data(100, [data(1, name), data(2, kind), blobs.collect(), settings.to_vec()].concat())
}

/// The bottom and the top of a layer, to be put among its settings.
pub fn wires(bottom: &str, top: &str) -> Vec<u8> {
    [data(3, bottom), data(4, top)].concat()
}

pub fn convolution(name: &str, dims: [i64; 4], stride: i64, pad: i64) -> Vec<u8> {
    let settings = [integer(2, 0), integer(3, pad), integer(6, stride)].concat();
    layer(name, "Convolution", &[ramp(&dims)], &data(106, settings))
}

pub fn pool1(pad: i64, rounds_down: i64) -> Vec<u8> {
    let settings = [integer(2, 3), integer(3, 2), integer(4, pad), integer(13, rounds_down)].concat();
    layer("pool1", "Pooling", &[], &data(121, settings))
}

pub fn batch_norm(name: &str, mean: &[f32], var: &[f32], factor: f32) -> Vec<u8> {
    let blobs = [blob(&[mean.len() as i64], mean), blob(&[var.len() as i64], var), blob(&[1], &[factor])];
    layer(name, "BatchNorm", &blobs, &[])
}
