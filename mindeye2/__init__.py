"""Images decoded from fMRI: MindEye2 as cached, content-addressed stages."""
