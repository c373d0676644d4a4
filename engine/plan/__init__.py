"""The frozen runtime values that the load side makes and the request side reads. It imports no other package."""
