use crate::answer::offset;
use crate::checks::*;

const SHAPES: [&[usize]; 10] = [
    &[1],
    &[7],
    &[1, 1],
    &[3, 4],
    &[5, 1],
    &[2, 3, 4],
    &[1, 6, 2],
    &[2, 3, 4, 5],
    &[3, 1, 2, 1],
    &[2, 2, 2, 2],
];

/// Calls `with` for each index in the order of the memory.
fn for_each(shape: &[usize], mut with: impl FnMut(usize, &[usize]) -> Finding) -> Finding {
    let mut index = vec![0; shape.len()];
    for count in 0..shape.iter().product() {
        with(count, &index)?;
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Ok(())
}

pub fn grade(checks: &mut Checks) {
    checks.check("each element has its own offset", || {
        for shape in SHAPES {
            for_each(shape, |want, index| {
                let got = offset(shape, index);
                that(got == Some(want), || {
                    format!(
                        "shape {shape:?}, index {index:?}: {got:?} instead of Some({want}); the last axis is the \
                         fastest, the \
                         stride of an axis is the product of all sizes behind it"
                    )
                })
            })?;
        }
        Ok(())
    });
    checks.check("an index outside of its axis", || {
        for shape in SHAPES {
            for axis in 0..shape.len() {
                let mut index = vec![0; shape.len()];
                index[axis] = shape[axis];
                let got = offset(shape, &index);
                that(got.is_none(), || {
                    format!(
                        "shape {shape:?}, index {index:?}: {got:?} instead of None; {} is behind the end of axis \
                         {axis}, also \
                         if the offset is inside of the memory",
                        shape[axis]
                    )
                })?;
            }
        }
        Ok(())
    });
    checks.check("a wrong number of indices", || {
        for (shape, index) in
            [(&[3, 4][..], &[1][..]), (&[3], &[1, 0]), (&[3, 4], &[]), (&[2, 2], &[0, 0, 0])]
        {
            let got = offset(shape, index);
            that(got.is_none(), || format!("shape {shape:?}, index {index:?}: {got:?} instead of None"))?;
        }
        Ok(())
    });
}
