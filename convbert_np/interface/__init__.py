"""The models as people call them: classes, arguments, outputs, losses by task."""
