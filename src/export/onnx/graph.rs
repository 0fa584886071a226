//! Builder of an ONNX graph: nodes in the order they were added, and constants.

use super::proto::{AttributeProto, NodeProto, TensorProto};

/// A graph under construction.
#[derive(Debug, Default)]
pub struct Builder {
    /// Operations added so far.
    pub nodes: Vec<NodeProto>,
    /// Constants added so far.
    pub constants: Vec<TensorProto>,
}

impl Builder {
    /// Adds an operation on the values `inputs` and returns its name, which is also the name of its one output.
    pub fn node(
        &mut self,
        op_type: &str,
        name: impl Into<String>,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let name = name.into();
        self.node_of(op_type, &name, inputs, &[&name], attribute);
        name
    }

    /// Adds an operation with several outputs.
    pub fn node_of(
        &mut self,
        op_type: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) {
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        self.nodes.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: name.into(),
            op_type: op_type.into(),
            attribute,
        });
    }

    /// Adds a constant of f32 and returns its name.
    pub fn f32(&mut self, name: impl Into<String>, dims: &[usize], values: &[f32]) -> String {
        self.constant(name.into(), TensorProto::FLOAT, dims, bytemuck::cast_slice(values))
    }

    /// Adds a constant list of i64 and returns its name.
    pub fn i64(&mut self, name: impl Into<String>, values: &[i64]) -> String {
        self.constant(name.into(), TensorProto::INT64, &[values.len()], bytemuck::cast_slice(values))
    }

    // The format is little-endian, as are all machines that this crate supports (see `weights`).
    fn constant(&mut self, name: String, data_type: i32, dims: &[usize], bytes: &[u8]) -> String {
        self.constants.push(TensorProto {
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type,
            name: name.clone(),
            raw_data: bytes.to_vec(),
        });
        name
    }
}

/// An attribute with a float value.
pub fn float(name: &str, value: f32) -> AttributeProto {
    let r#type = AttributeProto::FLOAT;
    AttributeProto { name: name.into(), f: Some(value), i: None, ints: Vec::new(), r#type }
}

/// An attribute with an integer value.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        f: None,
        i: Some(value),
        ints: Vec::new(),
        r#type: AttributeProto::INT,
    }
}

/// An attribute with a list of integers.
pub fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: name.into(), f: None, i: None, ints, r#type: AttributeProto::INTS }
}
