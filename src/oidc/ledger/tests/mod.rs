//! Tables of cases for the reader, laws for the machine.

mod admission;
mod cases;
mod laws;
mod runs;
mod sample;
mod stored;
