"""De-identification: where everyone's head is (`heads`), and how it is painted over (`mosaic`)."""
