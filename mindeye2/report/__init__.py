"""Tables, figures and the page of a finished run; no network is loaded here."""
