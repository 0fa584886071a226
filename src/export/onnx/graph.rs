//! A graph under construction: nodes in the order they were added, and constants.

use super::proto::{AttributeProto, NodeProto, TensorProto};

/// A graph that grows.
#[derive(Debug, Default)]
pub struct Builder {
    /// The operations so far.
    pub nodes: Vec<NodeProto>,
    /// The constants so far.
    pub constants: Vec<TensorProto>,
}

impl Builder {
    /// Adds an operation on the values `inputs`; its one output bears its name, which is returned.
    pub fn node(
        &mut self,
        op_type: &str,
        name: impl Into<String>,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> String {
        let name = name.into();
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|input| input.to_string()).collect(),
            output: vec![name.clone()],
            name: name.clone(),
            op_type: op_type.into(),
            attribute,
        });
        name
    }

    /// Adds a constant of f32 and returns its name.
    pub fn f32(&mut self, name: impl Into<String>, dims: &[usize], values: &[f32]) -> String {
        self.constant(name.into(), TensorProto::FLOAT, dims, bytemuck::cast_slice(values))
    }

    /// Adds a constant list of i64 and returns its name.
    pub fn i64(&mut self, name: impl Into<String>, values: &[i64]) -> String {
        self.constant(name.into(), TensorProto::INT64, &[values.len()], bytemuck::cast_slice(values))
    }

    // Machines of this crate are little-endian (see `weights`), as the format wants it.
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

/// A setting of one integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: Some(value), ints: Vec::new(), r#type: AttributeProto::INT }
}

/// A setting of several integers.
pub fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let ints = values.iter().map(|&value| value as i64).collect();
    AttributeProto { name: name.into(), i: None, ints, r#type: AttributeProto::INTS }
}
