//! Declarations of C libraries: types, constants, structs and functions, under the names of the library's headers.
//!
//! Each is written once. The macros turn it into Rust, and in unit tests also into a description, which
//! `device::cuda::headers` turns into C and compiles against the headers. A status is a plain integer and so is every
//! other enum of C: a newer library may return numbers that no list of today has, and a Rust enum of such a number is
//! undefined behaviour.

/// A C type by the Rust type that stands for it.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(in crate::device::cuda) struct Type {
    /// The name in the header.
    pub name: &'static str,
    /// The Rust type as it is written.
    pub rust: &'static str,
    pub size: usize,
    pub alignment: usize,
}

/// A constant of a header: an enumerator or a macro.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(in crate::device::cuda) struct Constant {
    /// The name in the header.
    pub name: &'static str,
    /// Its type as it is written.
    pub of: &'static str,
    pub value: i64,
}

/// A C struct by the Rust struct that has its layout.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(in crate::device::cuda) struct Struct {
    /// The names in the header: several structs may have one layout.
    pub names: &'static [&'static str],
    pub size: usize,
    pub alignment: usize,
    pub fields: &'static [Field],
}

/// A field of a struct, under its name in the header.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(in crate::device::cuda) struct Field {
    pub name: &'static str,
    /// Its type as it is written.
    pub of: &'static str,
    pub offset: usize,
    pub size: usize,
}

/// An exported function; the types are as they are written.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(in crate::device::cuda) struct Function {
    pub name: &'static str,
    pub arguments: &'static [&'static str],
    pub result: &'static str,
}

/// Defines types under their names in the headers. A handle is a `*mut c_void`, an enum its integer.
macro_rules! c_types {
    ($($name:ident = $of:ty;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`.")]
            #[allow(non_camel_case_types, reason = "the name in the library's header")]
            pub(in crate::device::cuda) type $name = $of;
        )*

        #[cfg(test)]
        pub(in crate::device::cuda) const TYPES: &[$crate::device::cuda::libraries::declare::Type] = &[$(
            $crate::device::cuda::libraries::declare::Type {
                name: stringify!($name),
                rust: stringify!($of),
                size: size_of::<$name>(),
                alignment: align_of::<$name>(),
            },
        )*];
    };
}

/// Defines constants: name here, name in the header, type, value.
macro_rules! c_constants {
    ($($(#[$doc:meta])* $name:ident = $in_header:ident: $of:ty = $value:expr;)*) => {
        $(
            #[doc = concat!("`", stringify!($in_header), "`.")]
            $(#[$doc])*
            pub(in crate::device::cuda) const $name: $of = $value;
        )*

        #[cfg(test)]
        pub(in crate::device::cuda) const CONSTANTS: &[$crate::device::cuda::libraries::declare::Constant] = &[$(
            $crate::device::cuda::libraries::declare::Constant {
                name: stringify!($in_header),
                of: stringify!($of),
                value: $name as i64,
            },
        )*];
    };
}

/// Defines a struct of one or several names in the headers, whose fields have the names there.
macro_rules! c_struct {
    (
        $(#[$attribute:meta])*
        $name:ident = $($in_header:ident),+ {
            $($field:ident: $of:ty,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default)]
        #[repr(C)]
        #[allow(non_snake_case, dead_code, reason = "all fields of the library's header, under their names there")]
        pub(in crate::device::cuda) struct $name { $(pub(in crate::device::cuda) $field: $of,)* }

        $(
            #[doc = concat!("`", stringify!($in_header), "`.")]
            #[allow(non_camel_case_types, reason = "the name in the library's header")]
            pub(in crate::device::cuda) type $in_header = $name;
        )+

        #[cfg(test)]
        impl $name {
            pub(in crate::device::cuda) const STRUCT: $crate::device::cuda::libraries::declare::Struct =
                $crate::device::cuda::libraries::declare::Struct {
                    names: &[$(stringify!($in_header)),+],
                    size: size_of::<$name>(),
                    alignment: align_of::<$name>(),
                    fields: &[$(
                        $crate::device::cuda::libraries::declare::Field {
                            name: stringify!($field),
                            of: stringify!($of),
                            offset: std::mem::offset_of!($name, $field),
                            size: size_of::<$of>(),
                        },
                    )*],
                };
        }
    };
}

/// Defines a table of functions of one library, which `Table::of(&library)` looks up by name. The names are those that
/// the library exports, the types those of its headers.
macro_rules! function_table {
    ($table:ident { $($name:ident($($argument:ident: $of:ty),* $(,)?) -> $result:ty;)* }) => {
        #[expect(non_snake_case, reason = "the fields have the names of the library's functions")]
        #[derive(Debug)]
        pub(in crate::device::cuda) struct $table {
            $(pub(in crate::device::cuda) $name: unsafe extern "C" fn($($argument: $of),*) -> $result,)*
        }

        impl $table {
            /// Looks up all functions of the table.
            ///
            /// # Errors
            /// The library lacks one.
            pub(in crate::device::cuda) fn of(
                library: &$crate::device::cuda::libraries::Library,
            ) -> $crate::Result<Self> {
                // SAFETY: the types above are those of the library's headers (`device::cuda::headers` compares them);
                // an enum of C is passed as its integer.
                Ok(unsafe { $table { $($name: library.function(stringify!($name))?,)* } })
            }

            #[cfg(test)]
            pub(in crate::device::cuda) const FUNCTIONS: &[$crate::device::cuda::libraries::declare::Function] = &[$(
                $crate::device::cuda::libraries::declare::Function {
                    name: stringify!($name),
                    arguments: &[$(stringify!($of)),*],
                    result: stringify!($result),
                },
            )*];
        }
    };
}

pub(in crate::device::cuda) use {c_constants, c_struct, c_types, function_table};
