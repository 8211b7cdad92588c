"""Models that continue texts, all behind one interface: generate(prompts, n, max_new, stop) -> n texts per prompt."""
