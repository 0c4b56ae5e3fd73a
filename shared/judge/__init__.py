"""Pure judgement: samples in, verdict out."""
