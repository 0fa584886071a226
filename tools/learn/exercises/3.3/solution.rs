use crate::tape::Tape;
use std::fmt::Write;

/// The tape in the language of Graphviz: a line `VALUE -> VALUE [label=OP]` for each input of each node, such as
/// `5 -> 6 [label=relu]`, between the lines `digraph {` and `}`.
pub fn graph(tape: &Tape) -> String {
    let mut text = "digraph {\n".to_string();
    for node in &tape.nodes {
        for input in &node.inputs {
            writeln!(text, "    {} -> {} [label={}]", input.id, node.output, node.op)
                .expect("a string has room");
        }
    }
    text + "}\n"
}
