use crate::tape::Tape;

/// The tape in the language of Graphviz: a line `VALUE -> VALUE [label=OP]` for each input of each node, such as
/// `6 -> 7 [label=relu]`, between the lines `digraph {` and `}`.
pub fn graph(tape: &Tape) -> String {
    let _ = tape;
    todo!("a line for each input of each node")
}
