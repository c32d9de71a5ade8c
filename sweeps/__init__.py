"""The suite's sweep files, kept in a package so that an installed suite finds them."""
