"""How a dialogue becomes text: chat formats, templates, tools."""
