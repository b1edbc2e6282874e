//! Project tasks; see `cargo xtask --help`.

mod codegen;

fn main() -> anyhow::Result<()> {
    codegen::run(false)
}
