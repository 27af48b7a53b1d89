"""Commands about policies as text: is it right, what does it mean?"""
