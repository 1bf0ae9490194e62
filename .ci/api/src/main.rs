//! Prints the public items that a file of rustdoc's JSON has, one a line, without what every type
//! has.

fn main() {
    let path = std::env::args_os().nth(1).expect("the path of the JSON");
    let api = public_api::Builder::from_rustdoc_json(path)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build();
    match api {
        Ok(api) => println!("{api}"),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(3);
        }
    }
}
