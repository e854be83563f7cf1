"""Letters and digits in the fonts of Debian's packages: what ACME makes of them, against goals."""
