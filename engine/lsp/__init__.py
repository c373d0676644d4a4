"""The language server behind `engine lsp`: what `check` finds, and what the schemas say, in an editor.

It never writes a file: the editor does.
"""
