"""The door's own eyes: the finder that proposes faces and the refiner of their landmarks."""
