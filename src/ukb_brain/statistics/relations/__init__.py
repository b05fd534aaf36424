"""How targets are related: by what people have, and by what reads them."""
