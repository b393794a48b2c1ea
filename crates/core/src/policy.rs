//! The policy: who may do what, under which obligations. Being written.
